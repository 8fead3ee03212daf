/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convmixer: runs ConvMixer image classifiers on the CPU.
 *
 * In short: open a model, make a session for each thread that classifies, run.
 *
 *   convmixer_model* model = NULL;
 *   convmixer_session* session = NULL;
 *   convmixer_model_open("model.safetensors", NULL, &model);
 *   convmixer_session_create(model, NULL, &session);
 *   convmixer_classify(session, images, count, NULL, top_k, predictions, results);
 *   convmixer_session_destroy(session);
 *   convmixer_model_destroy(model);
 *
 * Rules that hold for every function:
 * - It returns a status; CONVMIXER_OK is 0. Outputs are written only on success. For any other
 *   status convmixer_last_error() holds a sentence about this very case.
 * - A null pointer where a value is needed is CONVMIXER_INVALID_ARGUMENT, never a crash.
 * - Option structs begin with `struct_size`, set by the ..._INIT macros; a null options pointer and
 *   a zero in any field mean the default. A struct_size this library does not know is refused only
 *   if a field beyond the known ones is set.
 * - Strings are UTF-8 and zero-terminated. Paths are passed to the system as they are.
 * - Nothing is printed, and no signal handler is installed.
 *
 * Threads: a model may be used by any number of threads and sessions at once. A session serves one
 * thread at a time; a second one gets CONVMIXER_BUSY. A session keeps its model alive, so either
 * may be destroyed first. After fork() the handles keep working in the child, whose first run
 * starts the session's threads anew (CONVMIXER_OUT_OF_MEMORY where the system refuses). Calls from
 * inside a parallel region of the caller's are allowed.
 *
 * An image's logits are the same bits alone, anywhere in a batch, and for any number of threads.
 */
#ifndef CONVMIXER_H_
#define CONVMIXER_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CONVMIXER_API __attribute__((visibility("default")))
#else
#define CONVMIXER_API
#endif

#define CONVMIXER_VERSION_MAJOR 0
#define CONVMIXER_VERSION_MINOR 1
#define CONVMIXER_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

typedef struct convmixer_model convmixer_model;
typedef struct convmixer_session convmixer_session;

typedef enum convmixer_status {
  CONVMIXER_OK = 0,
  CONVMIXER_INVALID_ARGUMENT = 1, /* a value of the caller's is wrong */
  CONVMIXER_IO_ERROR = 2,         /* the system refused: missing file, permission, full disk */
  CONVMIXER_FORMAT_ERROR = 3,     /* truncated, damaged or another kind of file */
  CONVMIXER_UNSUPPORTED = 4,      /* well-formed, but this build, model or CPU cannot do it */
  CONVMIXER_LIMIT_EXCEEDED = 5,   /* larger than a stated limit, e.g. max_pixels */
  CONVMIXER_OUT_OF_MEMORY = 6,
  CONVMIXER_BUSY = 7,          /* the session or calibration is in use by another thread */
  CONVMIXER_INTERNAL_ERROR = 8 /* a defect of this library */
} convmixer_status;

/* One sentence a status; never null. */
CONVMIXER_API const char* convmixer_status_string(convmixer_status status);

/* About the last call of this thread that failed; "" if none did. Valid until the next failure. */
CONVMIXER_API const char* convmixer_last_error(void);

/* "0.1.0": the library's, which may differ from the macros the caller was compiled with. */
CONVMIXER_API const char* convmixer_version(void);

/* ---- Models ---------------------------------------------------------------------------------- */

typedef enum convmixer_activation {
  CONVMIXER_ACTIVATION_DEFAULT = 0, /* the file's, else the rule in the README */
  CONVMIXER_ACTIVATION_GELU = 1,    /* exact, with erf */
  CONVMIXER_ACTIVATION_RELU = 2
} convmixer_activation;

typedef enum convmixer_onednn {
  CONVMIXER_ONEDNN_AUTO = 0, /* where no instruction set of our own but portable serves, or in bf16
                                and int8 none but amx has AMX; not its reference code */
  CONVMIXER_ONEDNN_ON = 1,   /* every operator, or an error that names the first that cannot */
  CONVMIXER_ONEDNN_OFF = 2
} convmixer_onednn;

/* Pointwise products by Strassen's algorithm: 7 multiplications instead of 8, packed weights of 7/4
   the size, in fp32 rounding errors of up to 1.6 times the size (two levels: 2.5 times); in int8,
   which has it with AVX2 alone, the very same results. */
typedef enum convmixer_strassen {
  CONVMIXER_STRASSEN_AUTO = 0, /* where it wins and keeps the accuracy, as
                                  convmixer_model_describe tells */
  CONVMIXER_STRASSEN_ON = 1,   /* every block, or an error that names the first that cannot */
  CONVMIXER_STRASSEN_OFF = 2,
  CONVMIXER_STRASSEN_TWO = 3 /* two levels where they win (not with amx), else as AUTO: 49
                                multiplications instead of 64, packed weights of 49/16 the size */
} convmixer_strassen;

/* What the blocks are computed in. The classifier is always fp32; the patch embedding's operands
   are bf16 in bf16, and have 16 bits in int8 (oneDNN's are floats). */
typedef enum convmixer_precision {
  CONVMIXER_PRECISION_DEFAULT = 0, /* fp32 */
  CONVMIXER_PRECISION_FP32 = 1,
  CONVMIXER_PRECISION_BF16 = 2, /* operands rounded to bfloat16, sums in float; of any checkpoint */
  CONVMIXER_PRECISION_INT8 = 3, /* of a model with scales, as `convmixer calibrate` makes them; NaN
                                   and infinities end as some byte: logits do not show them */
  CONVMIXER_PRECISION_AUTO = 4  /* the fastest that needs no calibration: bf16 where the CPU has
                                   instructions for it that are faster, else fp32; fp32 too where
                                   Strassen products that it has or isa "portable" are asked for */
} convmixer_precision;

typedef struct convmixer_model_options {
  size_t struct_size;
  /* "portable", "avx2", "avx512" or "amx": exactly this one, refused where the CPU lacks it. NULL:
     the best that the CPU has and the model gains by, up to the environment variable CONVMIXER_ISA.
     Opening a model that may run on amx, convmixer_system_describe(), oneDNN, and an isa or
     precision that is refused ask Linux for the use of AMX's registers where the CPU has them: from
     then on the process's sigaltstack() wants stacks of more than 11 KB. There a run needs a thread
     with 64 KB of stack, in bf16 128 KB. */
  const char* isa;
  convmixer_onednn onednn;
  /* These win over what the file says. */
  convmixer_activation activation;
  int32_t image_height, image_width; /* both or neither */
  const double* mean;                /* 3 values, of pixels in 0..1, at most 1e6 */
  const double* std;                 /* 3 values, 1e-6 to 1e6 */
  double crop_pct;                   /* in (0, 1] */
  double bn_eps;                     /* BatchNorm's epsilon, > 0 */
  convmixer_strassen strassen;
  int32_t low_memory; /* not 0: nothing that takes more memory for speed (Strassen's weights,
                         sessions of more images at once than the threads need); not with
                         STRASSEN_ON, _TWO */
  /* Refused where the CPU lacks the instructions, but for isa "portable", whose bf16 and int8 are
     slow. */
  convmixer_precision precision;
} convmixer_model_options;

/* clang-format off */
#define CONVMIXER_MODEL_OPTIONS_INIT \
  { sizeof(convmixer_model_options), NULL, CONVMIXER_ONEDNN_AUTO, CONVMIXER_ACTIVATION_DEFAULT, \
    0, 0, NULL, NULL, 0.0, 0.0, CONVMIXER_STRASSEN_AUTO, 0, CONVMIXER_PRECISION_DEFAULT }
/* clang-format on */

/*
 * Opens a checkpoint and prepares everything that depends only on weights: a safetensors file, one
 * of PyTorch's (zip or older) or Paddle's .pdparams, told apart by content, in timm's, the
 * authors', mmpretrain's or Paddle's names; or a folder that holds config.json and
 * model.safetensors or pytorch_model.bin. Opening a file never runs code: a pickle that names
 * anything but tensors and plain containers is CONVMIXER_UNSUPPORTED, and the name is in the error.
 * A model of int8 weights (CONVMIXER_WEIGHTS_INT8) in another precision is
 * CONVMIXER_INVALID_ARGUMENT.
 */
CONVMIXER_API convmixer_status convmixer_model_open(const char* path,
                                                    const convmixer_model_options* options,
                                                    convmixer_model** model);

/* The same from memory, which is not needed any more when the call returns. */
CONVMIXER_API convmixer_status convmixer_model_open_memory(const void* data, size_t size,
                                                           const convmixer_model_options* options,
                                                           convmixer_model** model);

/* Null is allowed. */
CONVMIXER_API void convmixer_model_destroy(convmixer_model* model);

typedef struct convmixer_model_info {
  size_t struct_size;
  int32_t dim, depth, kernel_size, patch_size, num_classes;
  convmixer_activation activation;
  int32_t image_height, image_width;
  double mean[3], std[3], crop_pct, bn_eps;
  uint64_t num_parameters; /* weights and biases, running statistics not counted */
  uint64_t num_macs;       /* multiply-adds of one image */
  uint64_t weight_bytes;   /* as packed */
  const char* isa; /* the variant that runs: "avx2", "avx512_bf16", "onednn", …; the library's */
  const char* interpolation;     /* "bicubic" or "bilinear"; owned by the library */
  int32_t num_labels;            /* 0 or num_classes; of 1,000 classes always 1,000 */
  int32_t strassen_levels;       /* of the block that has most: 0, 1 or 2 */
  convmixer_precision precision; /* that runs: fp32, bf16 or int8 */
} convmixer_model_info;

/* clang-format off */
#define CONVMIXER_MODEL_INFO_INIT \
  { sizeof(convmixer_model_info), 0, 0, 0, 0, 0, CONVMIXER_ACTIVATION_DEFAULT, 0, 0, \
    {0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, 0.0, 0.0, 0, 0, 0, NULL, NULL, 0, 0, \
    CONVMIXER_PRECISION_DEFAULT }
/* clang-format on */

/* `info->struct_size` must be set; fields beyond it are not written. */
CONVMIXER_API convmixer_status convmixer_model_get_info(const convmixer_model* model,
                                                        convmixer_model_info* info);

/* Owned by the model; null where the model has no labels or the index is out of range. A model of
   1,000 classes without labels has ImageNet's. */
CONVMIXER_API const char* convmixer_model_label(const convmixer_model* model, int32_t index);

/* "n01440764": the WordNet id of ImageNet's class, as its folders are called. Owned by the library;
   null where the index is not 0 to 999. */
CONVMIXER_API const char* convmixer_imagenet_wordnet_id(int32_t index);

/*
 * Text results: up to `capacity` bytes, zero included, go to `text`; `*needed` (may be null)
 * becomes the size of the whole text, zero included. A null `text` with capacity 0 asks for the
 * size; otherwise too small a capacity is CONVMIXER_INVALID_ARGUMENT, with *needed set.
 */

/* The plan: layer, shapes, implementation, why others were refused, memory of the weights. */
CONVMIXER_API convmixer_status convmixer_model_describe(const convmixer_model* model, char* text,
                                                        size_t capacity, size_t* needed);

/* CPU, caches, threads, variants of this build and why some cannot run here, library versions. */
CONVMIXER_API convmixer_status convmixer_system_describe(char* text, size_t capacity,
                                                         size_t* needed);

/* ---- Conversion ------------------------------------------------------------------------------ */

typedef struct convmixer_convert_options {
  size_t struct_size;
  /* These win over what the files say; as in convmixer_model_options. */
  convmixer_activation activation;
  int32_t image_height, image_width; /* both or neither */
  const double* mean;
  const double* std;
  double crop_pct;
  double bn_eps;
  const char* interpolation; /* "bicubic" or "bilinear" */
  const char* const* labels; /* UTF-8, one a class */
  size_t num_labels;
} convmixer_convert_options;

/* clang-format off */
#define CONVMIXER_CONVERT_OPTIONS_INIT \
  { sizeof(convmixer_convert_options), CONVMIXER_ACTIVATION_DEFAULT, 0, 0, NULL, NULL, 0.0, 0.0, \
    NULL, NULL, 0 }
/* clang-format on */

/*
 * Writes what convmixer_model_open opens as one safetensors file in timm's names, the whole
 * configuration in its metadata; labels too, unless they are ImageNet's by default. F32, F16, BF16
 * and int8 weights stay as they are stored, F64 becomes F32: the logits are the same bits. Tensors
 * that only training reads are left out. The same model gives the same bytes.
 *
 * The model is checked first. The file appears whole or not at all, and replaces one that is there;
 * it must not be the one that is read. info, which may be null, receives what the file holds, with
 * num_macs, weight_bytes, isa, strassen_levels and precision left 0 and null.
 */
CONVMIXER_API convmixer_status convmixer_convert(const char* src_path, const char* dst_path,
                                                 const convmixer_convert_options* options,
                                                 convmixer_model_info* info);

/* ---- Sessions -------------------------------------------------------------------------------- */

typedef struct convmixer_session_options {
  size_t struct_size;
  int32_t threads;    /* 0: the CPUs this process may use (affinity and cgroup quota); at most
                         1024 */
  int32_t chunk_size; /* images worked on at once, which bounds the memory; 0: by cache sizes;
                         at most 4096 */
} convmixer_session_options;

#define CONVMIXER_SESSION_OPTIONS_INIT \
  { sizeof(convmixer_session_options), 0, 0 }

/* Takes all the memory that running needs, to which the system adds pages as it is first written; a
   run allocates nothing. A number of threads that the system refuses is CONVMIXER_OUT_OF_MEMORY.
   (oneDNN's threads are OpenMP's, which end the process where the system refuses one that it did
   not refuse a moment before, when a model is opened or in a run.) */
CONVMIXER_API convmixer_status convmixer_session_create(convmixer_model* model,
                                                        const convmixer_session_options* options,
                                                        convmixer_session** session);

CONVMIXER_API void convmixer_session_destroy(convmixer_session* session); /* null is allowed */

typedef struct convmixer_session_info {
  size_t struct_size;
  int32_t threads, chunk_size; /* as they are, defaults worked out; oneDNN may run on fewer
                                  threads */
  uint64_t memory_bytes;       /* beside the model's weights */
} convmixer_session_info;

#define CONVMIXER_SESSION_INFO_INIT \
  { sizeof(convmixer_session_info), 0, 0, 0 }

/* `info->struct_size` must be set; fields beyond it are not written. */
CONVMIXER_API convmixer_status convmixer_session_get_info(const convmixer_session* session,
                                                          convmixer_session_info* info);

/*
 * src: (n, 3, image_height, image_width) floats, normalised as the model expects. (In int8 they are
 * cut to four times the largest |value| of any pixel, as all activations are to their calibrated
 * range.)
 * logits: (n, num_classes). features: (n, dim), the mean over pixels that the classifier reads, or
 * null. Any n, 0 too. The arrays must not overlap.
 */
CONVMIXER_API convmixer_status convmixer_run_f32(convmixer_session* session, const float* src,
                                                 size_t n, float* logits, float* features);

/* The same from RGB bytes, (n, image_height, image_width, 3); the model's mean and std apply. */
CONVMIXER_API convmixer_status convmixer_run_u8(convmixer_session* session, const uint8_t* src,
                                                size_t n, float* logits, float* features);

/*
 * What the session's threads could reach at most, in operations a second (of integers in int8):
 * independent multiply-adds (two operations each) of the vectors, or in bf16 and int8 tiles, that
 * the model's variant uses (where oneDNN runs, of our best variant of its precision), on all of the
 * session's threads at once; the best of a few rounds, about 0.1 s in all. Strassen products, and
 * amx's in fp32, can go beyond it. 2 × num_macs × images a
 * second is a share of it. Clocks change with heat and with other programs: measure before, between
 * and after what is compared with it, and take the largest.
 */
CONVMIXER_API convmixer_status convmixer_session_measure_fma_peak(convmixer_session* session,
                                                                  double* flops_per_second);

/* ---- Images ---------------------------------------------------------------------------------- */

/* Exactly one of path, data and pixels is set. */
typedef struct convmixer_image {
  const char* path;      /* a JPEG, PNG or WebP file */
  const void* data;      /* the bytes of such a file */
  size_t size;           /* of data */
  const uint8_t* pixels; /* RGB bytes, rows of width × 3 */
  int32_t width, height; /* of pixels */
  size_t stride;         /* bytes from row to row; 0: width × 3 */
} convmixer_image;

typedef struct convmixer_image_options {
  size_t struct_size;
  uint64_t max_pixels;      /* larger images are refused from the header; 0: 178,956,970 */
  int32_t exif_orientation; /* not 0: turn and mirror as the EXIF tag says */
  /* For convmixer_transform; convmixer_classify and convmixer_run_images take them from
     the model: they must be left so. */
  int32_t image_height, image_width; /* of the crop; 0: 224 */
  double crop_pct;                   /* 0: 0.96 */
  const char* interpolation;         /* "bicubic" or "bilinear"; NULL: "bicubic" */
} convmixer_image_options;

#define CONVMIXER_IMAGE_OPTIONS_INIT \
  { sizeof(convmixer_image_options), 0, 0, 0, 0, 0.0, NULL }

/*
 * Decodes one image and applies the evaluation transform (resize the short side to
 * floor(size / crop_pct), centre crop), with Pillow's pixels. dst: image_height × image_width × 3
 * bytes; dst_size in bytes must be exactly that.
 */
CONVMIXER_API convmixer_status convmixer_transform(const convmixer_image* image,
                                                   const convmixer_image_options* options,
                                                   uint8_t* dst, size_t dst_size);

typedef struct convmixer_prediction {
  int32_t index;     /* the class */
  float probability; /* softmax over all classes */
  float logit;
  const char* label; /* owned by the model, or null */
} convmixer_prediction;

#define CONVMIXER_ERROR_TEXT_SIZE 1024

typedef struct convmixer_result {
  convmixer_status status;               /* of this image */
  char error[CONVMIXER_ERROR_TEXT_SIZE]; /* "" where status is CONVMIXER_OK */
} convmixer_result;

/*
 * Decodes, transforms and classifies `count` images, decoding beside the network's work. One bad
 * image does not spoil the others: it gets its own status, and the call is CONVMIXER_OK.
 * predictions: count × top_k, best first, equal probabilities by index; written only where the
 * image's status is CONVMIXER_OK. 1 ≤ top_k ≤ num_classes. results: count entries.
 */
CONVMIXER_API convmixer_status convmixer_classify(convmixer_session* session,
                                                  const convmixer_image* images, size_t count,
                                                  const convmixer_image_options* options,
                                                  int32_t top_k, convmixer_prediction* predictions,
                                                  convmixer_result* results);

/*
 * The same, but for the logits of every class instead of the best ones: count × num_classes; a row
 * is written only where its image's status is CONVMIXER_OK. They are the bits that convmixer_run_u8
 * gives for the transformed image.
 */
CONVMIXER_API convmixer_status convmixer_run_images(convmixer_session* session,
                                                    const convmixer_image* images, size_t count,
                                                    const convmixer_image_options* options,
                                                    float* logits, convmixer_result* results);

/* ---- Calibration for int8 -------------------------------------------------------------------- */

/* Runs a model in fp32 over images like those it will classify, and writes it again with a scale
   and a zero point for each channel of each activation, which CONVMIXER_PRECISION_INT8 needs. A few
   hundred images are enough; they need no labels, and should not be those it will be judged by. */
typedef struct convmixer_calibration convmixer_calibration;

/* Which values a channel's 256 bytes stand for; those beyond are cut. */
typedef enum convmixer_clipping {
  CONVMIXER_CLIPPING_DEFAULT = 0,
  CONVMIXER_CLIPPING_MEAN_SQUARED_ERROR = 1, /* the range with the least error over what was seen;
                                                the default */
  CONVMIXER_CLIPPING_MIN_MAX = 2             /* all that was seen */
} convmixer_clipping;

/* What the written model's weights are. */
typedef enum convmixer_weights {
  CONVMIXER_WEIGHTS_DEFAULT = 0, /* what they were, and beside them the bytes that
                                    CONVMIXER_PRECISION_INT8 makes of the pointwise ones */
  CONVMIXER_WEIGHTS_INT8 = 1     /* those of the blocks the bytes that CONVMIXER_PRECISION_INT8
                                    makes of them, with the same results, in about a quarter of the
                                    size: a model for that precision only */
} convmixer_weights;

/* `model_path` as for convmixer_model_open, but no model whose weights are int8; options: isa and
   what wins over the file, which is written with the model; another precision, oneDNN, Strassen
   products or isa "amx" are refused. threads as in convmixer_session_options. The file is read
   again when the calibration is written: until it is destroyed, nobody may change or truncate
   it. */
CONVMIXER_API convmixer_status convmixer_calibration_create(const char* model_path,
                                                            const convmixer_model_options* options,
                                                            int32_t threads,
                                                            convmixer_calibration** calibration);

/* As convmixer_model_get_info, with weight_bytes, isa, strassen_levels and precision left 0 and
   null. */
CONVMIXER_API convmixer_status convmixer_calibration_get_info(
    const convmixer_calibration* calibration, convmixer_model_info* info);

/* One thread at a time; another gets CONVMIXER_BUSY. NaN or infinite activations are
   CONVMIXER_INVALID_ARGUMENT, and the calibration is of no more use. src as for
   convmixer_run_f32. */
CONVMIXER_API convmixer_status convmixer_calibration_add_f32(convmixer_calibration* calibration,
                                                             const float* src, size_t n);

/* Images as for convmixer_classify: one that fails is left out and has its status in `results`
   (count entries, all of them set once the arguments are right, even where the call fails then). */
CONVMIXER_API convmixer_status convmixer_calibration_add_images(
    convmixer_calibration* calibration, const convmixer_image* images, size_t count,
    const convmixer_image_options* options, convmixer_result* results);

/* Chooses scales and bytes, and writes the model as convmixer_convert does. At least one image must
   have been added. */
CONVMIXER_API convmixer_status convmixer_calibration_write(const convmixer_calibration* calibration,
                                                           const char* dst_path,
                                                           convmixer_clipping clipping,
                                                           convmixer_weights weights);

CONVMIXER_API void convmixer_calibration_destroy(convmixer_calibration* calibration); /* or null */

#ifdef __cplusplus
}
#endif

#endif /* CONVMIXER_H_ */
