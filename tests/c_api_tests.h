/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the C interface's test share. */
#pragma once

#include <stddef.h>

#include "convmixer.h"

#define MODEL CONVMIXER_SHARE_DIR "/cifar10_256_8.safetensors"
#define SHIP CONVMIXER_SHARE_DIR "/images/ship_0000.jpg"
#define TINY CONVMIXER_TEST_DATA "/tiny/relu_48/timm.safetensors"
#define CAT CONVMIXER_SHARE_DIR "/images/cat_0000.jpg"

enum { kClasses = 10, kDim = 256, kImageBytes = 32 * 32 * 3 };

int failed_checks(void);
void check(int good, const char* text, const char* file, int line);
#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)

/* A failure with a sentence about it, of which `part` is a part. */
void check_refused(convmixer_status got, convmixer_status want, const char* part, const char* text,
                   const char* file, int line);
#define REFUSED(call, status, part) \
  check_refused((call), (status), (part), #call, __FILE__, __LINE__)
#define BAD(call, part) REFUSED(call, CONVMIXER_INVALID_ARGUMENT, part)

convmixer_model* open_model(const convmixer_model_options* options); /* the bundled one */
convmixer_session* open_session(convmixer_model* model);
/* Opens it and lets it go. */
convmixer_status try_options(const convmixer_model_options* options);
unsigned char* read_file(const char* path, size_t* size); /* to be freed */

/* The parts in other files. */
void test_precision(void);
void test_calibration(void);
