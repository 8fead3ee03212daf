/* SPDX-License-Identifier: Apache-2.0 */
/* Precisions, and the calibration that int8 needs, for test_c_api.c. */
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "c_api_tests.h"

/* What runs where `options` are asked for. */
static convmixer_model_info info_of(const convmixer_model_options* options) {
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  convmixer_model* model = open_model(options);
  CHECK(convmixer_model_get_info(model, &info) == CONVMIXER_OK);
  convmixer_model_destroy(model);
  return info;
}

void test_precision(void) {
  convmixer_model_options o = CONVMIXER_MODEL_OPTIONS_INIT;
  convmixer_model_info info = info_of(NULL);
  CHECK(info.precision == CONVMIXER_PRECISION_FP32);
  o.precision = (convmixer_precision)5;
  BAD(try_options(&o), "precision");
  o.precision = (convmixer_precision)-1;
  BAD(try_options(&o), "precision");
  o.isa = "portable";
  o.precision = CONVMIXER_PRECISION_BF16;
  info = info_of(&o);
  CHECK(info.precision == CONVMIXER_PRECISION_BF16 && strcmp(info.isa, "portable_bf16") == 0);
  o.precision = CONVMIXER_PRECISION_AUTO; /* slow code is no choice for speed */
  CHECK(info_of(&o).precision == CONVMIXER_PRECISION_FP32);
  o.precision = CONVMIXER_PRECISION_INT8;
  REFUSED(try_options(&o), CONVMIXER_UNSUPPORTED, "scales");
  o.isa = NULL;
  o.onednn = CONVMIXER_ONEDNN_ON;
  o.precision = CONVMIXER_PRECISION_BF16;
  if (try_options(&o) == CONVMIXER_OK) {
    info = info_of(&o);
    CHECK(info.precision == CONVMIXER_PRECISION_BF16 && strcmp(info.isa, "onednn") == 0);
  } else { /* this build has no oneDNN, or it has no instructions here */
    REFUSED(try_options(&o), CONVMIXER_UNSUPPORTED, "oneDNN is asked for, but");
  }
}

static convmixer_calibration* new_calibration(void) {
  convmixer_calibration* c = NULL;
  CHECK(convmixer_calibration_create(MODEL, NULL, 2, &c) == CONVMIXER_OK);
  if (c == NULL) exit(1);
  return c;
}

static void test_calibration_create(void) {
  convmixer_calibration* const untouched = (convmixer_calibration*)(size_t)1;
  convmixer_calibration* c = untouched;
  const convmixer_model_options init = CONVMIXER_MODEL_OPTIONS_INIT;
  convmixer_model_options o = init;
  BAD(convmixer_calibration_create(NULL, NULL, 0, &c), "model_path");
  BAD(convmixer_calibration_create(MODEL, NULL, 0, NULL), "calibration");
  BAD(convmixer_calibration_create(MODEL, NULL, -1, &c), "threads");
  BAD(convmixer_calibration_create(MODEL, NULL, 1025, &c), "threads");
  REFUSED(convmixer_calibration_create("/nowhere/at.all", NULL, 0, &c), CONVMIXER_IO_ERROR,
          "/nowhere");
  o.precision = CONVMIXER_PRECISION_BF16;
  BAD(convmixer_calibration_create(MODEL, &o, 0, &c), "precision");
  o = init;
  o.onednn = CONVMIXER_ONEDNN_ON;
  BAD(convmixer_calibration_create(MODEL, &o, 0, &c), "onednn");
  o = init;
  o.strassen = CONVMIXER_STRASSEN_TWO;
  BAD(convmixer_calibration_create(MODEL, &o, 0, &c), "strassen");
  o = init;
  o.isa = "mmx";
  BAD(convmixer_calibration_create(MODEL, &o, 0, &c), "portable");
  o = init;
  o.struct_size = 0;
  BAD(convmixer_calibration_create(MODEL, &o, 0, &c), "CONVMIXER_MODEL_OPTIONS_INIT");
  CHECK(c == untouched);
  convmixer_calibration_destroy(NULL);
}

/* An image that fails is left out, as if it had not been there. */
static void test_calibration_add(const char* dst) {
  convmixer_calibration* c = new_calibration();
  convmixer_image images[3] = {{0}};
  convmixer_image_options o = CONVMIXER_IMAGE_OPTIONS_INIT;
  convmixer_result r[3];
  unsigned char *few, *same;
  size_t size, size_again;
  images[0].path = SHIP;
  images[1].path = "/nowhere/at.all";
  images[2].path = CAT;
  BAD(convmixer_calibration_add_images(NULL, images, 3, NULL, r), "calibration");
  BAD(convmixer_calibration_add_images(c, NULL, 3, NULL, r), "images");
  BAD(convmixer_calibration_add_images(c, images, 3, NULL, NULL), "results");
  CHECK(convmixer_calibration_add_images(c, NULL, 0, NULL, NULL) == CONVMIXER_OK);
  o.image_width = 32;
  BAD(convmixer_calibration_add_images(c, images, 3, &o, r), "the model's");
  BAD(convmixer_calibration_add_images(c, NULL, 0, &o, NULL), "the model's");
  BAD(convmixer_calibration_add_images(c, images, (size_t)-1, NULL, r), "count");
  CHECK(convmixer_calibration_write(c, "/nowhere/m.safetensors", CONVMIXER_CLIPPING_DEFAULT,
                                    CONVMIXER_WEIGHTS_DEFAULT) == CONVMIXER_IO_ERROR);
  BAD(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_DEFAULT, CONVMIXER_WEIGHTS_DEFAULT),
      "image");
  CHECK(convmixer_calibration_add_images(c, images + 1, 1, NULL, r) == CONVMIXER_OK);
  BAD(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_DEFAULT, CONVMIXER_WEIGHTS_DEFAULT),
      "image");
  CHECK(convmixer_calibration_add_images(c, images, 3, NULL, r) == CONVMIXER_OK);
  CHECK(r[0].status == CONVMIXER_OK && r[0].error[0] == '\0' && r[2].status == CONVMIXER_OK);
  CHECK(r[1].status == CONVMIXER_IO_ERROR && strstr(r[1].error, "/nowhere") != NULL);
  CHECK(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_DEFAULT,
                                    CONVMIXER_WEIGHTS_DEFAULT) == CONVMIXER_OK);
  convmixer_calibration_destroy(c);
  few = read_file(dst, &size);
  c = new_calibration();
  images[1] = images[2];
  CHECK(convmixer_calibration_add_images(c, images, 2, NULL, r) == CONVMIXER_OK);
  CHECK(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_MEAN_SQUARED_ERROR,
                                    CONVMIXER_WEIGHTS_DEFAULT) == CONVMIXER_OK);
  same = read_file(dst, &size_again);
  CHECK(size == size_again && memcmp(few, same, size) == 0);
  free(same);
  CHECK(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_MIN_MAX,
                                    CONVMIXER_WEIGHTS_DEFAULT) == CONVMIXER_OK);
  same = read_file(dst, &size_again);
  CHECK(size == size_again);
  free(same);
  free(few);
  convmixer_calibration_destroy(c);
}

static void test_calibration_info(const convmixer_calibration* c) {
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  BAD(convmixer_calibration_get_info(NULL, &info), "calibration");
  BAD(convmixer_calibration_get_info(c, NULL), "info");
  CHECK(convmixer_calibration_get_info(c, &info) == CONVMIXER_OK);
  CHECK(info.image_height == 32 && info.image_width == 32 && info.num_classes == kClasses);
  CHECK(info.num_parameters == info_of(NULL).num_parameters);
  CHECK(info.num_macs == info_of(NULL).num_macs);
  CHECK(info.weight_bytes == 0 && info.isa == NULL);
}

/* Of a calibration that has seen images: what is not written. */
static void test_calibration_write(const convmixer_calibration* c, const char* dst) {
  BAD(convmixer_calibration_write(NULL, dst, CONVMIXER_CLIPPING_DEFAULT, CONVMIXER_WEIGHTS_DEFAULT),
      "calibration");
  BAD(convmixer_calibration_write(c, NULL, CONVMIXER_CLIPPING_DEFAULT, CONVMIXER_WEIGHTS_DEFAULT),
      "dst_path");
  BAD(convmixer_calibration_write(c, dst, (convmixer_clipping)3, CONVMIXER_WEIGHTS_DEFAULT),
      "clipping");
  BAD(convmixer_calibration_write(c, dst, (convmixer_clipping)-1, CONVMIXER_WEIGHTS_DEFAULT),
      "clipping");
  BAD(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_DEFAULT, (convmixer_weights)2),
      "weights");
  BAD(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_DEFAULT, (convmixer_weights)-1),
      "weights");
  BAD(convmixer_calibration_write(c, MODEL, CONVMIXER_CLIPPING_DEFAULT, CONVMIXER_WEIGHTS_DEFAULT),
      "another file");
  REFUSED(convmixer_calibration_write(c, "/nowhere/at.all", CONVMIXER_CLIPPING_DEFAULT,
                                      CONVMIXER_WEIGHTS_DEFAULT),
          CONVMIXER_IO_ERROR, "/nowhere");
}

/* Of the first image of `src`, by the model that was written. */
static void run_int8(const char* path, const float* src, float* logits) {
  convmixer_model_options o = CONVMIXER_MODEL_OPTIONS_INIT;
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  convmixer_model* model = NULL;
  convmixer_session* session;
  o.isa = "portable";
  o.precision = CONVMIXER_PRECISION_INT8;
  CHECK(convmixer_model_open(path, &o, &model) == CONVMIXER_OK);
  if (model == NULL) exit(1);
  CHECK(convmixer_model_get_info(model, &info) == CONVMIXER_OK);
  CHECK(info.precision == CONVMIXER_PRECISION_INT8 && strcmp(info.isa, "portable_int8") == 0);
  session = open_session(model);
  CHECK(convmixer_run_f32(session, src, 1, logits, NULL) == CONVMIXER_OK);
  convmixer_session_destroy(session);
  convmixer_model_destroy(model);
}

/* Two models of the same floats; then a NaN. */
static void test_calibration_f32(const char* dst) {
  static float src[2 * kImageBytes];
  convmixer_calibration* c = new_calibration();
  convmixer_calibration* other = NULL;
  convmixer_model* model = NULL;
  float logits[kClasses], again[kClasses];
  size_t i;
  for (i = 0; i < sizeof src / sizeof *src; ++i) {
    src[i] = (float)((i * 2654435761u) >> 20 & 255u) / 64.0f - 2.0f;
  }
  test_calibration_info(c);
  BAD(convmixer_calibration_add_f32(NULL, src, 1), "calibration");
  BAD(convmixer_calibration_add_f32(c, NULL, 1), "src");
  CHECK(convmixer_calibration_add_f32(c, NULL, 0) == CONVMIXER_OK);
  CHECK(convmixer_calibration_add_f32(c, src, 2) == CONVMIXER_OK);
  test_calibration_write(c, dst);
  CHECK(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_DEFAULT,
                                    CONVMIXER_WEIGHTS_DEFAULT) == CONVMIXER_OK);
  run_int8(dst, src, logits);
  CHECK(isfinite(logits[0]));

  /* Weights in bytes: the same logits, in int8 only. */
  CHECK(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_DEFAULT, CONVMIXER_WEIGHTS_INT8) ==
        CONVMIXER_OK);
  run_int8(dst, src, again);
  CHECK(memcmp(again, logits, sizeof logits) == 0);
  BAD(convmixer_model_open(dst, NULL, &model), "precision int8");
  BAD(convmixer_calibration_create(dst, NULL, 0, &other), "weights are int8");

  src[kImageBytes + 7] = NAN;
  BAD(convmixer_calibration_add_f32(c, src, 2), "stem has NaN");
  src[kImageBytes + 7] = 0.0f;
  BAD(convmixer_calibration_add_f32(c, src, 2), "an earlier image");
  BAD(convmixer_calibration_write(c, dst, CONVMIXER_CLIPPING_DEFAULT, CONVMIXER_WEIGHTS_DEFAULT),
      "NaN");
  convmixer_calibration_destroy(c);
}

void test_calibration(void) {
  char dst[] = "/tmp/convmixer_c_api_XXXXXX";
  const int fd = mkstemp(dst);
  if (fd < 0) exit(1);
  close(fd);
  test_calibration_create();
  test_calibration_add(dst);
  test_calibration_f32(dst);
  CHECK(remove(dst) == 0);
}
