/* SPDX-License-Identifier: Apache-2.0 */
/* A C99 program that knows convmixer.h alone and calls every function, well and badly. */
#define _POSIX_C_SOURCE 200809L /* mkstemp */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "c_api_tests.h"

static void test_texts(void) {
  int status;
  char want[32];
  CHECK(strcmp(convmixer_last_error(), "") == 0); /* nothing has failed yet */
  for (status = 0; status <= CONVMIXER_INTERNAL_ERROR; ++status) {
    CHECK(strlen(convmixer_status_string((convmixer_status)status)) > 5);
  }
  CHECK(convmixer_status_string((convmixer_status)99) != NULL);
  CHECK(convmixer_status_string((convmixer_status)-1) != NULL);
  snprintf(want, sizeof want, "%d.%d.%d", CONVMIXER_VERSION_MAJOR, CONVMIXER_VERSION_MINOR,
           CONVMIXER_VERSION_PATCH);
  CHECK(strcmp(convmixer_version(), want) == 0);
}

static void test_open(void) {
  convmixer_model* const untouched = (convmixer_model*)(size_t)1;
  convmixer_model* model = untouched;
  BAD(convmixer_model_open(NULL, NULL, &model), "path");
  BAD(convmixer_model_open(MODEL, NULL, NULL), "model");
  REFUSED(convmixer_model_open("/nowhere/at.all", NULL, &model), CONVMIXER_IO_ERROR,
          "/nowhere/at.all");
  REFUSED(convmixer_model_open(CONVMIXER_SHARE_DIR, NULL, &model), CONVMIXER_IO_ERROR, "");
  REFUSED(convmixer_model_open(SHIP, NULL, &model), CONVMIXER_FORMAT_ERROR, "ship_0000.jpg");
  BAD(convmixer_model_open_memory(NULL, 4, NULL, &model), "data");
  BAD(convmixer_model_open_memory("abcd", 4, NULL, NULL), "model");
  REFUSED(convmixer_model_open_memory("abcd", 0, NULL, &model), CONVMIXER_FORMAT_ERROR, "<memory>");
  REFUSED(convmixer_model_open_memory("abcd", 4, NULL, &model), CONVMIXER_FORMAT_ERROR, "<memory>");
  CHECK(model == untouched);
  convmixer_model_destroy(NULL);
}

static void test_model_options(void) {
  static const double mean[3] = {0.5, 0.5, 0.5}, bad_std[3] = {0.2, 0.0, 0.2};
  const double bad_crops[] = {-0.5, 1.5, 0.0};
  const convmixer_model_options init = CONVMIXER_MODEL_OPTIONS_INIT;
  convmixer_model_options o = init;
  size_t i;
  o.isa = "mmx";
  BAD(try_options(&o), "portable");
  o.isa = "";
  BAD(try_options(&o), "isa");
  o.isa = "portable";
  o.onednn = CONVMIXER_ONEDNN_OFF;
  CHECK(try_options(&o) == CONVMIXER_OK);
  o = init;
  o.onednn = (convmixer_onednn)3;
  BAD(try_options(&o), "onednn");
  o = init;
  o.strassen = (convmixer_strassen)4;
  BAD(try_options(&o), "strassen");
  o.strassen = CONVMIXER_STRASSEN_ON;
  o.low_memory = 1;
  BAD(try_options(&o), "memory");
  o.strassen = CONVMIXER_STRASSEN_AUTO;
  CHECK(try_options(&o) == CONVMIXER_OK);
  o = init;
  o.activation = (convmixer_activation)-7;
  BAD(try_options(&o), "activation");
  o = init;
  o.image_height = 32;
  BAD(try_options(&o), "image_width");
  o.image_width = -32;
  BAD(try_options(&o), "image_width");
  o.image_width = 36;
  CHECK(try_options(&o) == CONVMIXER_OK);
  o = init;
  o.mean = mean;
  o.std = bad_std;
  BAD(try_options(&o), "std");
  for (i = 0; i < sizeof bad_crops / sizeof *bad_crops; ++i) {
    o = init;
    o.crop_pct = bad_crops[i] == 0.0 ? NAN : bad_crops[i];
    BAD(try_options(&o), "crop_pct");
  }
  o = init;
  o.bn_eps = -1e-5;
  BAD(try_options(&o), "eps");
}

static void test_struct_size(void) {
  struct {
    convmixer_model_options known;
    double newer[2];
  } future = {CONVMIXER_MODEL_OPTIONS_INIT, {0.0, 0.0}};
  convmixer_model_options o = CONVMIXER_MODEL_OPTIONS_INIT;
  future.known.struct_size = sizeof future;
  CHECK(try_options(&future.known) == CONVMIXER_OK);
  future.newer[1] = 1.0;
  BAD(try_options(&future.known), "struct_size");
  future.known.struct_size = sizeof future.known; /* what stands behind is not read */
  CHECK(try_options(&future.known) == CONVMIXER_OK);

  o.struct_size = 0;
  BAD(try_options(&o), "CONVMIXER_MODEL_OPTIONS_INIT");
  o.struct_size = sizeof(size_t) - 1;
  BAD(try_options(&o), "struct_size");
  o.struct_size = (size_t)-1;
  BAD(try_options(&o), "struct_size");
  o.crop_pct = 7.0; /* wrong, but not there for a struct that ends before it */
  o.struct_size = offsetof(convmixer_model_options, crop_pct);
  CHECK(try_options(&o) == CONVMIXER_OK);
  o.struct_size = offsetof(convmixer_model_options, bn_eps);
  BAD(try_options(&o), "crop_pct");
  o.isa = (const char*)(size_t)1; /* half a pointer is no field */
  o.struct_size = offsetof(convmixer_model_options, isa) + 4;
  CHECK(try_options(&o) == CONVMIXER_OK);
  o.struct_size = sizeof(size_t);
  CHECK(try_options(&o) == CONVMIXER_OK);
}

static void test_info(void) {
  convmixer_model* model = open_model(NULL);
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  CHECK(convmixer_model_get_info(model, &info) == CONVMIXER_OK);
  CHECK(info.struct_size == sizeof info);
  CHECK(info.dim == kDim && info.depth == 8 && info.kernel_size == 5 && info.patch_size == 4);
  CHECK(info.num_classes == kClasses && info.activation == CONVMIXER_ACTIVATION_GELU);
  CHECK(info.image_height == 32 && info.image_width == 32);
  CHECK(info.mean[0] == 0.4914 && info.std[2] == 0.2616 && info.crop_pct == 1.0);
  CHECK(info.bn_eps == 1e-5);
  /* stem 48·256 + 256, its norm 512; 8 blocks of 25·256 + 256, 256² + 256, two norms; head. */
  CHECK(info.num_parameters == 12544 + 512 + 8 * (6656 + 65792 + 1024) + 2570);
  CHECK(info.num_macs == 64 * (48 * 256 + 8 * (25 * 256 + 65536)) + 2560);
  CHECK(info.weight_bytes >= 4 * (12288 + 8 * (6400 + 65536) + 2560));
  CHECK(info.strassen_levels >= 0 && info.strassen_levels <= 2);
  CHECK(strcmp(info.interpolation, "bicubic") == 0 && info.num_labels == kClasses);
  CHECK(strlen(info.isa) > 0);
  BAD(convmixer_model_get_info(NULL, &info), "model");
  BAD(convmixer_model_get_info(model, NULL), "info");

  memset(&info, 0x55, sizeof info);
  info.struct_size = 0;
  BAD(convmixer_model_get_info(model, &info), "CONVMIXER_MODEL_INFO_INIT");
  info.struct_size = offsetof(convmixer_model_info, num_classes); /* an older caller's */
  CHECK(convmixer_model_get_info(model, &info) == CONVMIXER_OK);
  CHECK(info.patch_size == 4 && info.num_classes == 0x55555555);

  CHECK(strcmp(convmixer_model_label(model, 0), "airplane") == 0);
  CHECK(strcmp(convmixer_model_label(model, 9), "truck") == 0);
  CHECK(convmixer_model_label(model, 10) == NULL && convmixer_model_label(model, -1) == NULL);
  CHECK(convmixer_model_label(NULL, 0) == NULL);
  CHECK(strcmp(convmixer_imagenet_wordnet_id(0), "n01440764") == 0);
  CHECK(strcmp(convmixer_imagenet_wordnet_id(999), "n15075141") == 0);
  CHECK(convmixer_imagenet_wordnet_id(1000) == NULL && convmixer_imagenet_wordnet_id(-1) == NULL);
  info.struct_size = sizeof info;
  CHECK(convmixer_model_get_info(model, &info) == CONVMIXER_OK);
  convmixer_model_destroy(model);
  CHECK(strcmp(info.interpolation, "bicubic") == 0 && strlen(info.isa) > 0); /* the library's */
}

static void test_memory(void) {
  size_t size, i;
  unsigned char* bytes = read_file(MODEL, &size);
  unsigned char image[kImageBytes];
  float from_file[kClasses], from_memory[kClasses];
  convmixer_model *file_model = open_model(NULL), *memory_model = NULL;
  convmixer_session *a = open_session(file_model), *b;
  CHECK(convmixer_model_open_memory(bytes, size, NULL, &memory_model) == CONVMIXER_OK);
  memset(bytes, 0xff, size);
  free(bytes);
  if (memory_model == NULL) exit(1);
  b = open_session(memory_model);
  convmixer_model_destroy(file_model); /* the sessions keep the models alive */
  convmixer_model_destroy(memory_model);
  for (i = 0; i < sizeof image; ++i) image[i] = (unsigned char)(i * 7);
  CHECK(convmixer_run_u8(a, image, 1, from_file, NULL) == CONVMIXER_OK);
  CHECK(convmixer_run_u8(b, image, 1, from_memory, NULL) == CONVMIXER_OK);
  CHECK(memcmp(from_file, from_memory, sizeof from_file) == 0);
  convmixer_session_destroy(a);
  convmixer_session_destroy(b);
}

/* The two functions that make a text, as one. */
static convmixer_status describe(const convmixer_model* model, char* text, size_t capacity,
                                 size_t* needed) {
  return model != NULL ? convmixer_model_describe(model, text, capacity, needed)
                       : convmixer_system_describe(text, capacity, needed);
}

static void check_text(const convmixer_model* model, const char* part) {
  size_t needed = 0, small = 0;
  char* text;
  char byte = 'x';
  CHECK(describe(model, NULL, 0, &needed) == CONVMIXER_OK);
  CHECK(describe(model, NULL, 0, NULL) == CONVMIXER_OK);
  CHECK(needed > 1);
  text = malloc(needed);
  if (text == NULL) exit(1);
  CHECK(describe(model, text, needed, NULL) == CONVMIXER_OK);
  CHECK(strlen(text) + 1 == needed && strstr(text, part) != NULL);
  BAD(describe(model, text, needed - 1, &small), "capacity");
  CHECK(small == needed);
  small = 0;
  BAD(describe(model, &byte, 0, &small), "capacity");
  CHECK(small == needed && byte == 'x');
  BAD(describe(model, NULL, 1, NULL), "text");
  free(text);
}

static void test_describe(void) {
  convmixer_model* model = open_model(NULL);
  check_text(model, "stem");
  check_text(NULL, "portable");
  check_text(NULL, "libpng");
  BAD(convmixer_model_describe(NULL, NULL, 0, NULL), "model");
  convmixer_model_destroy(model);
}

static convmixer_status try_session(convmixer_model* model,
                                    const convmixer_session_options* options) {
  convmixer_session* session = NULL;
  const convmixer_status status = convmixer_session_create(model, options, &session);
  CHECK((status == CONVMIXER_OK) == (session != NULL));
  convmixer_session_destroy(session);
  return status;
}

static void test_session_options(void) {
  convmixer_model* model = open_model(NULL);
  const convmixer_session_options init = CONVMIXER_SESSION_OPTIONS_INIT;
  convmixer_session_options o = init;
  BAD(convmixer_session_create(model, NULL, NULL), "session");
  BAD(try_session(NULL, NULL), "model");
  CHECK(try_session(model, NULL) == CONVMIXER_OK);
  CHECK(try_session(model, &init) == CONVMIXER_OK);
  o.threads = -1;
  BAD(try_session(model, &o), "threads");
  o.threads = 1025;
  BAD(try_session(model, &o), "threads");
  o.threads = 1024;
  CHECK(try_session(model, &o) == CONVMIXER_OK);
  o.threads = 1;
  o.chunk_size = -1;
  BAD(try_session(model, &o), "chunk_size");
  o.chunk_size = 4097;
  BAD(try_session(model, &o), "4096");
  o.struct_size = offsetof(convmixer_session_options, chunk_size);
  CHECK(try_session(model, &o) == CONVMIXER_OK);
  o.struct_size = 0;
  BAD(try_session(model, &o), "struct_size");
  convmixer_session_destroy(NULL);
  convmixer_model_destroy(model);
}

static void test_run(void) {
  enum { kMost = 9 };
  static const double mean[3] = {0.4914, 0.4822, 0.4465}, std[3] = {0.2471, 0.2435, 0.2616};
  static unsigned char bytes[kMost * kImageBytes];
  static float floats[kMost * kImageBytes], features[kMost * kDim], features_f32[kMost * kDim];
  float one[kClasses], many[kMost * kClasses], many_f32[kMost * kClasses];
  convmixer_model* model = open_model(NULL);
  convmixer_session* session = open_session(model);
  size_t i, n;
  for (i = 0; i < sizeof bytes; ++i) bytes[i] = (unsigned char)((i * 2654435761u) >> 13);
  for (i = 0; i < sizeof bytes; ++i) {
    const size_t image = i / kImageBytes, pixel = i % kImageBytes / 3, c = i % 3;
    floats[image * kImageBytes + c * 1024 + pixel] = (float)((bytes[i] / 255.0 - mean[c]) / std[c]);
  }
  CHECK(convmixer_run_u8(session, bytes, kMost, many, features) == CONVMIXER_OK);
  CHECK(convmixer_run_f32(session, floats, kMost, many_f32, features_f32) == CONVMIXER_OK);
  for (i = 0; i < kMost * kClasses; ++i) CHECK(fabsf(many[i] - many_f32[i]) < 1e-3f);
  for (i = 0; i < kMost * kDim; ++i) CHECK(fabsf(features[i] - features_f32[i]) < 1e-3f);
  for (i = 0; i < kMost; ++i) {
    CHECK(convmixer_run_u8(session, bytes + i * kImageBytes, 1, one, NULL) == CONVMIXER_OK);
    CHECK(memcmp(one, many + i * kClasses, sizeof one) == 0);
  }
  for (n = 1; n <= kMost; ++n) {
    float got[kMost * kClasses];
    CHECK(convmixer_run_f32(session, floats, n, got, NULL) == CONVMIXER_OK);
    CHECK(memcmp(got, many_f32, n * sizeof one) == 0);
  }
  CHECK(convmixer_run_f32(session, NULL, 0, NULL, NULL) == CONVMIXER_OK);
  CHECK(convmixer_run_u8(session, NULL, 0, NULL, NULL) == CONVMIXER_OK);
  BAD(convmixer_run_f32(NULL, floats, 1, one, NULL), "session");
  BAD(convmixer_run_f32(session, NULL, 1, one, NULL), "src");
  BAD(convmixer_run_f32(session, floats, 1, NULL, NULL), "logits");
  BAD(convmixer_run_f32(session, floats, (size_t)-1, one, NULL), "n is");
  BAD(convmixer_run_u8(NULL, bytes, 1, one, NULL), "session");
  BAD(convmixer_run_u8(session, NULL, 1, one, NULL), "src");
  BAD(convmixer_run_u8(session, bytes, 1, NULL, NULL), "logits");
  BAD(convmixer_run_u8(session, bytes, (size_t)-1, one, NULL), "n is");
  convmixer_session_destroy(session);
  convmixer_model_destroy(model);
}

static void test_fma_peak(void) {
  convmixer_model_options o = CONVMIXER_MODEL_OPTIONS_INIT;
  convmixer_model* model;
  convmixer_session* session;
  double peak = -1.0;
  o.isa = "portable";
  model = open_model(&o);
  session = open_session(model);
  BAD(convmixer_session_measure_fma_peak(NULL, &peak), "session");
  BAD(convmixer_session_measure_fma_peak(session, NULL), "flops_per_second");
  CHECK(peak == -1.0);
  CHECK(convmixer_session_measure_fma_peak(session, &peak) == CONVMIXER_OK);
  CHECK(peak > 0.0 && peak < 1e18);
  convmixer_session_destroy(session);
  convmixer_model_destroy(model);
}

static void test_transform(void) {
  static uint8_t dst[224 * 224 * 3];
  convmixer_image image = {0};
  const convmixer_image_options init = CONVMIXER_IMAGE_OPTIONS_INIT;
  convmixer_image_options o = init;
  BAD(convmixer_transform(&image, NULL, dst, sizeof dst), "exactly one");
  image.path = SHIP;
  CHECK(convmixer_transform(&image, NULL, dst, sizeof dst) == CONVMIXER_OK);
  BAD(convmixer_transform(NULL, NULL, dst, sizeof dst), "image");
  BAD(convmixer_transform(&image, NULL, NULL, sizeof dst), "dst");
  BAD(convmixer_transform(&image, NULL, dst, sizeof dst - 1), "dst_size");
  o.image_height = o.image_width = 32;
  o.interpolation = "bilinear";
  CHECK(convmixer_transform(&image, &o, dst, kImageBytes) == CONVMIXER_OK);
  o.interpolation = "nearest";
  BAD(convmixer_transform(&image, &o, dst, kImageBytes), "bicubic or bilinear");
  o.interpolation = NULL;
  o.image_height = -1;
  BAD(convmixer_transform(&image, &o, dst, kImageBytes), "image_height");
  o = init;
  o.crop_pct = NAN;
  BAD(convmixer_transform(&image, &o, dst, sizeof dst), "crop_pct");
  o = init;
  o.max_pixels = 1023;
  REFUSED(convmixer_transform(&image, &o, dst, sizeof dst), CONVMIXER_LIMIT_EXCEEDED, "");
  o.max_pixels = 1024;
  CHECK(convmixer_transform(&image, &o, dst, sizeof dst) == CONVMIXER_OK);
  o.struct_size = 0;
  BAD(convmixer_transform(&image, &o, dst, sizeof dst), "CONVMIXER_IMAGE_OPTIONS_INIT");
}

static void test_classify(void) {
  enum { kTop = 3 };
  convmixer_model* model = open_model(NULL);
  convmixer_session* s = open_session(model);
  convmixer_image images[2] = {{0}};
  convmixer_image_options o = CONVMIXER_IMAGE_OPTIONS_INIT;
  convmixer_prediction p[2 * kTop];
  convmixer_result r[2];
  images[0].path = SHIP;
  images[1].path = CAT;
  CHECK(convmixer_classify(s, images, 2, NULL, kTop, p, r) == CONVMIXER_OK);
  CHECK(r[0].status == CONVMIXER_OK && r[1].status == CONVMIXER_OK && r[0].error[0] == '\0');
  CHECK(strcmp(p[0].label, "ship") == 0 && p[0].index == 8);
  CHECK(strcmp(p[kTop].label, "cat") == 0 && p[kTop].index == 3);
  CHECK(p[0].probability >= p[1].probability && p[1].probability >= p[2].probability);
  CHECK(p[0].probability > 0.1f && p[0].probability <= 1.0f && p[0].logit > p[1].logit);
  CHECK(convmixer_classify(s, images, 2, &o, kTop, p, r) == CONVMIXER_OK);
  CHECK(convmixer_classify(s, NULL, 0, NULL, kTop, NULL, NULL) == CONVMIXER_OK);
  BAD(convmixer_classify(NULL, images, 2, NULL, kTop, p, r), "session");
  BAD(convmixer_classify(s, NULL, 2, NULL, kTop, p, r), "images");
  BAD(convmixer_classify(s, images, 2, NULL, kTop, NULL, r), "predictions");
  BAD(convmixer_classify(s, images, 2, NULL, kTop, p, NULL), "results");
  BAD(convmixer_classify(s, images, 2, NULL, 0, p, r), "top_k");
  BAD(convmixer_classify(s, images, 2, NULL, -1, p, r), "top_k");
  BAD(convmixer_classify(s, images, 2, NULL, kClasses + 1, p, r), "top_k");
  BAD(convmixer_classify(s, images, (size_t)-1, NULL, kTop, p, r), "count");
  o.image_height = 32;
  BAD(convmixer_classify(s, images, 2, &o, kTop, p, r), "the model's");
  o.image_height = 0;
  o.interpolation = "bicubic";
  BAD(convmixer_classify(s, images, 2, &o, kTop, p, r), "the model's");
  o.struct_size = 3;
  BAD(convmixer_classify(s, images, 2, &o, kTop, p, r), "struct_size");
  convmixer_session_destroy(s);
  convmixer_model_destroy(model);
}

static void test_convert(void) {
  static const char* const labels[kClasses] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  convmixer_convert_options o = CONVMIXER_CONVERT_OPTIONS_INIT;
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  convmixer_model* model = NULL;
  char dst[] = "/tmp/convmixer_c_api_XXXXXX";
  const int fd = mkstemp(dst);
  if (fd < 0) exit(1);
  close(fd);
  o.labels = labels;
  o.num_labels = kClasses;
  o.image_height = o.image_width = 64;
  CHECK(convmixer_convert(MODEL, dst, &o, &info) == CONVMIXER_OK);
  CHECK(info.dim == kDim && info.image_width == 64 && info.num_labels == kClasses);
  CHECK(info.num_parameters > 0 && info.num_macs == 0 && info.isa == NULL);
  CHECK(convmixer_model_open(dst, NULL, &model) == CONVMIXER_OK);
  CHECK(model != NULL && strcmp(convmixer_model_label(model, 9), "9") == 0);
  convmixer_model_destroy(model);
  CHECK(convmixer_convert(TINY, dst, NULL, NULL) == CONVMIXER_OK);
  CHECK(convmixer_model_open(dst, NULL, &model) == CONVMIXER_OK);
  CHECK(strcmp(convmixer_model_label(model, 1), "goldfish") == 0);
  convmixer_model_destroy(model);
  BAD(convmixer_convert(NULL, dst, NULL, NULL), "src_path");
  BAD(convmixer_convert(MODEL, NULL, NULL, NULL), "dst_path");
  BAD(convmixer_convert(MODEL, MODEL, NULL, NULL), "another file");
  REFUSED(convmixer_convert("/nowhere/at.all", dst, NULL, NULL), CONVMIXER_IO_ERROR, "/nowhere");
  REFUSED(convmixer_convert(MODEL, "/nowhere/at.all", NULL, NULL), CONVMIXER_IO_ERROR, "/nowhere");
  o.num_labels = 3;
  BAD(convmixer_convert(MODEL, dst, &o, NULL), "10 labels");
  o.struct_size = offsetof(convmixer_convert_options, labels); /* an older caller's */
  CHECK(convmixer_convert(MODEL, dst, &o, NULL) == CONVMIXER_OK);
  o.struct_size = 0;
  BAD(convmixer_convert(MODEL, dst, &o, NULL), "CONVMIXER_CONVERT_OPTIONS_INIT");
  info.struct_size = 0;
  BAD(convmixer_convert(MODEL, dst, NULL, &info), "CONVMIXER_MODEL_INFO_INIT");
  CHECK(remove(dst) == 0);
}

static void test_run_images(void) {
  convmixer_model* model = open_model(NULL);
  convmixer_session* s = open_session(model);
  convmixer_image images[2] = {{0}};
  convmixer_image_options o = CONVMIXER_IMAGE_OPTIONS_INIT;
  convmixer_prediction p[2];
  convmixer_result r[2];
  float logits[2 * kClasses];
  images[0].path = SHIP;
  images[1].path = CAT;
  CHECK(convmixer_run_images(s, images, 2, NULL, logits, r) == CONVMIXER_OK);
  CHECK(r[0].status == CONVMIXER_OK && r[1].status == CONVMIXER_OK && r[0].error[0] == '\0');
  CHECK(convmixer_classify(s, images, 2, NULL, 1, p, r) == CONVMIXER_OK);
  CHECK(p[0].logit == logits[8] && p[1].logit == logits[kClasses + 3]);
  CHECK(convmixer_run_images(s, images, 2, &o, logits, r) == CONVMIXER_OK);
  CHECK(convmixer_run_images(s, NULL, 0, NULL, NULL, NULL) == CONVMIXER_OK);
  BAD(convmixer_run_images(NULL, images, 2, NULL, logits, r), "session");
  BAD(convmixer_run_images(s, NULL, 2, NULL, logits, r), "images");
  BAD(convmixer_run_images(s, images, 2, NULL, NULL, r), "logits");
  BAD(convmixer_run_images(s, images, 2, NULL, logits, NULL), "results");
  BAD(convmixer_run_images(s, images, (size_t)-1, NULL, logits, r), "count");
  o.crop_pct = 0.5;
  BAD(convmixer_run_images(s, images, 2, &o, logits, r), "the model's");
  o.struct_size = 3;
  BAD(convmixer_run_images(s, images, 2, &o, logits, r), "struct_size");
  convmixer_session_destroy(s);
  convmixer_model_destroy(model);
}

int main(void) {
  test_texts();
  test_open();
  test_model_options();
  test_precision();
  test_struct_size();
  test_info();
  test_memory();
  test_describe();
  test_session_options();
  test_run();
  test_fma_peak();
  test_transform();
  test_classify();
  test_convert();
  test_run_images();
  test_calibration();
  if (failed_checks() == 0) puts("all checks passed");
  return failed_checks() != 0;
}
