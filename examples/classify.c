/* SPDX-License-Identifier: Apache-2.0 */
/* Classifies images from C:  classify MODEL IMAGE... */
#include <convmixer.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOP = 3 };

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, convmixer_last_error());
  return EXIT_FAILURE;
}

static void print_best(const char* path, const convmixer_prediction* best, size_t top) {
  size_t k;
  printf("%s:", path);
  for (k = 0; k < top; k++) {
    if (best[k].label != NULL) {
      printf("  %s %.3f", best[k].label, (double)best[k].probability);
    } else {
      printf("  %d %.3f", (int)best[k].index, (double)best[k].probability);
    }
  }
  printf("\n");
}

int main(int argc, char** argv) {
  convmixer_model* model = NULL;
  convmixer_session* session = NULL;
  size_t count, i;
  convmixer_image* images;
  convmixer_result* results;
  convmixer_prediction* predictions;
  convmixer_model_info info = CONVMIXER_MODEL_INFO_INIT;
  size_t top = TOP;
  int exit_code = EXIT_SUCCESS;

  if (argc < 3) {
    fprintf(stderr, "usage: %s MODEL IMAGE...\n", argv[0]);
    return 2;
  }

  /* NULL options: everything by default. */
  if (convmixer_model_open(argv[1], NULL, &model) != CONVMIXER_OK) return fail("model");
  if (convmixer_session_create(model, NULL, &session) != CONVMIXER_OK) return fail("session");

  if (convmixer_model_get_info(model, &info) != CONVMIXER_OK) return fail("information");
  if ((size_t)info.num_classes < top) top = (size_t)info.num_classes;

  count = (size_t)(argc - 2);
  images = calloc(count, sizeof(*images));
  results = calloc(count, sizeof(*results));
  predictions = calloc(count * top, sizeof(*predictions));
  if (images == NULL || results == NULL || predictions == NULL) return EXIT_FAILURE;
  for (i = 0; i < count; i++) images[i].path = argv[i + 2];

  if (convmixer_classify(session, images, count, NULL, (int32_t)top, predictions, results) !=
      CONVMIXER_OK) {
    return fail("classify");
  }

  /* Each image has a status of its own: one bad file does not spoil the others. */
  for (i = 0; i < count; i++) {
    if (results[i].status == CONVMIXER_OK) {
      print_best(images[i].path, &predictions[i * top], top);
    } else {
      fprintf(stderr, "%s\n", results[i].error);
      exit_code = EXIT_FAILURE;
    }
  }

  free(predictions);
  free(results);
  free(images);
  convmixer_session_destroy(session);
  convmixer_model_destroy(model);
  return exit_code;
}
