/* SPDX-License-Identifier: Apache-2.0 */
#include "c_api_tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

void check(int good, const char* text, const char* file, int line) {
  if (good) return;
  ++failures;
  fprintf(stderr, "%s:%d: %s; last error: %s\n", file, line, text, convmixer_last_error());
}

int failed_checks(void) { return failures; }

void check_refused(convmixer_status got, convmixer_status want, const char* part, const char* text,
                   const char* file, int line) {
  check(got == want, text, file, line);
  check(strstr(convmixer_last_error(), part) != NULL, part, file, line);
}

convmixer_model* open_model(const convmixer_model_options* options) {
  convmixer_model* model = NULL;
  CHECK(convmixer_model_open(MODEL, options, &model) == CONVMIXER_OK);
  if (model == NULL) exit(1);
  return model;
}

convmixer_session* open_session(convmixer_model* model) {
  convmixer_session* session = NULL;
  convmixer_session_options options = CONVMIXER_SESSION_OPTIONS_INIT;
  options.threads = 2;
  CHECK(convmixer_session_create(model, &options, &session) == CONVMIXER_OK);
  if (session == NULL) exit(1);
  return session;
}

unsigned char* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  unsigned char* bytes;
  if (file == NULL) exit(1);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  bytes = malloc(*size);
  if (bytes == NULL || fread(bytes, 1, *size, file) != *size) exit(1);
  fclose(file);
  return bytes;
}

convmixer_status try_options(const convmixer_model_options* options) {
  convmixer_model* model = NULL;
  const convmixer_status status = convmixer_model_open(MODEL, options, &model);
  CHECK((status == CONVMIXER_OK) == (model != NULL));
  convmixer_model_destroy(model);
  return status;
}
