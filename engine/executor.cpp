// SPDX-License-Identifier: Apache-2.0
#include "engine/executor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/calls.h"
#include "engine/layout.h"
#include "engine/onednn_layers.h"
#include "engine/openmp.h"
#include "engine/peak.h"
#include "engine/team.h"
#include "engine/workers.h"
#include "kernels/cpu.h"
#include "kernels/registry.h"

namespace convmixer {
namespace {

// The most pixels of a strip, unless a single row has more: enough to use each weight often, few
// enough for the panel to stay in L2.
constexpr int kMostStripPixels = 96;
static_assert(kMostStripPixels <= kMostSumPixels, "or rows of a group could be cut apart");

// Enough images for 16 tasks a thread in every layer, so that threads wait little for each other at
// its end, as long as the activations of all of them leave half of the L3 cache to the weights; but
// in any case a task for each thread.
int choose_chunk(const Plan& plan, int threads) {
  if (plan.onednn) return 1;
  const PlaneLayout planes(plan.geometry, *plan.native->table);
  const std::size_t an_image = 2 * planes.image_stride * sizeof(float);
  const int strips = choose_split(plan.geometry, 1, 1, 1, plan.native->strip_rows).strips;
  const auto in_cache =
      static_cast<int>(std::min<std::size_t>(1024, cache_sizes().l3 / 2 / an_image));
  return std::min(ceil_div(16 * threads, strips),
                  std::max({1, in_cache, ceil_div(threads, strips)}));
}

}  // namespace

Split choose_split(const Geometry& g, int n, int threads, int oc_tiles, int given_rows) {
  const double dim = g.dim, taps = static_cast<double>(g.kernel_size) * g.kernel_size;
  Split best{};
  double best_cost = 0;
  const bool given = given_rows != 0;
  const int first = given ? given_rows : 1;
  for (int rows = first; rows == first || (!given && rows <= g.h && rows * g.w <= kMostStripPixels);
       ++rows) {
    const int strips = ceil_div(g.h, rows);
    const int parts = std::clamp(threads / std::max(1, n * strips), 1, oc_tiles);
    const double tasks = static_cast<double>(n) * strips * parts;
    const double rounds = static_cast<double>(static_cast<long>((tasks + threads - 1) / threads));
    // Multiply-adds of a task, where fetching the weights of a strip costs as much as 16 pixels.
    const double pixels = static_cast<double>(rows) * g.w;
    const double cost = rounds * (pixels * taps + (pixels + 16) * dim / parts);
    if (best_cost == 0 || cost < best_cost) {
      best = {rows, strips, parts};
      best_cost = cost;
    }
  }
  return best;
}

struct Session::Impl {
  std::shared_ptr<const Plan> plan;
  Workers workers;
  Team team;
  int threads, chunk;
  Observer* observer = nullptr;

  // Ours: a panel for each thread, and Strassen's sums of it; [2][chunk images] planes; the
  // classifier's panel and result. All in one buffer, in this order, so that also the panels, which
  // are small but read most, lie in huge pages; the buffer's end may not (docs/performance.md).
  std::size_t panel_floats = 0, scratch_floats = 0, arena_bytes = 0;
  Buffer<float> arena;
  float *panels = nullptr, *scratch = nullptr, *planes[2] = {}, *head_panel = nullptr,
        *head_dst = nullptr;
  std::vector<std::int32_t> plane_offset, head_offset;

  // oneDNN's.
  std::unique_ptr<onednn::Instance> instance;
  Buffer<float> raw_image;  // raw bytes as (3, h, w) floats

  Impl(std::shared_ptr<const Plan> p, int thread_count, int chunk_size)
      : plan(std::move(p)),
        workers(plan->native ? thread_count : 1),
        team(workers.threads()),
        threads(thread_count),
        chunk(chunk_size) {
    if (chunk == 0) chunk = choose_chunk(*plan, threads);
    if (plan->native) {
      prepare_native();
    } else {
      prepare_onednn();
    }
  }

  void prepare_onednn() {
    run_after_fork_too([&] {
      const OmpThreads guard(threads);
      instance = std::make_unique<onednn::Instance>(*plan->onednn);
    });
    raw_image = Buffer<float>(plan->geometry.image_values());
    arena_bytes = instance->bytes() + raw_image.bytes();
  }

  void prepare_native() {
    const NativePlan& native = *plan->native;
    const Geometry& g = plan->geometry;
    const auto lanes = static_cast<std::size_t>(native.table->lanes);
    const PlaneLayout layout(g, *native.table);
    const int most_rows = native.strip_rows != 0
                              ? native.strip_rows
                              : std::max(1, std::min(g.h, kMostStripPixels / g.w));
    const auto images = static_cast<std::size_t>(chunk);
    const auto pixels = static_cast<std::size_t>(g.h) * static_cast<std::size_t>(g.w);
    panel_floats = panel_words(*plan, most_rows * g.w);
    if (native.strip_rows != 0) {
      scratch_floats = strassen_floats(*native.table, g.dim, most_rows * g.w);
    }
    const auto team_size = static_cast<std::size_t>(threads);
    const std::pair<float**, std::size_t> parts[] = {
        {&panels, panel_floats * team_size},
        {&scratch, scratch_floats * team_size},
        {&planes[0], images * layout.image_stride},
        {&planes[1], images * layout.image_stride},
        {&head_panel, static_cast<std::size_t>(layout.blocks) * head_stride()},
        {&head_dst, static_cast<std::size_t>(native.head.oc_blk) * head_stride()}};
    std::size_t floats = 0;
    for (const auto& [part, size] : parts) floats += spread_stride(size);
    arena = Buffer<float>(floats);
    float* next = arena.data();
    for (const auto& [part, size] : parts) {
      *part = next;
      next += spread_stride(size);
    }
    for (std::size_t i = 0; i < pixels; ++i) {
      plane_offset.push_back(static_cast<std::int32_t>(layout.pixel(static_cast<int>(i))));
    }
    for (std::size_t i = 0; i < images; ++i)
      head_offset.push_back(static_cast<std::int32_t>(i * lanes));
    arena_bytes = arena.bytes() + (plane_offset.size() + head_offset.size()) * sizeof(std::int32_t);
  }

  std::size_t head_stride() const {
    return spread_stride(static_cast<std::size_t>(chunk) *
                         static_cast<std::size_t>(plan->native->table->lanes));
  }

  // One task of a layer: image, rows and output channels.
  struct Task {
    int image, y_begin, y_end, tile_begin, tile_end;
    int pixels(int w) const { return (y_end - y_begin) * w; }
  };
  Task task(const Split& s, int index, int tiles) const {
    const int part = index % s.parts, strip = index / s.parts % s.strips;
    Task t{};
    t.image = index / s.parts / s.strips;
    t.y_begin = strip * s.rows;
    t.y_end = std::min(plan->geometry.h, t.y_begin + s.rows);
    t.tile_begin = static_cast<int>(static_cast<long>(tiles) * part / s.parts);
    t.tile_end = static_cast<int>(static_cast<long>(tiles) * (part + 1) / s.parts);
    return t;
  }

  // A task's pixels, from a panel into planes.
  PointwiseParams product(const PackedPointwise& w, const PlaneLayout& layout, const Task& t,
                          const float* panel, std::ptrdiff_t panel_block_stride,
                          float* planes_of_chunk) const {
    PointwiseParams p = product_params(
        w, layout, plane_offset.data(), t.y_begin, t.y_end, panel, panel_block_stride,
        planes_of_chunk + static_cast<std::size_t>(t.image) * layout.image_stride);
    p.tile_begin = t.tile_begin;
    p.tile_end = t.tile_end;
    return p;
  }

  template <typename T>
  void patch_embed(const PlaneLayout& layout, const Task& t, const T* src, float* panel,
                   float* dst) const {
    constexpr bool kRaw = sizeof(T) == 1;
    const KernelTable& table = *plan->native->table;
    const PackedPointwise& w = kRaw ? plan->native->patch_embed_raw : plan->native->patch_embed;
    const T* const image = src + static_cast<std::size_t>(t.image) * plan->geometry.image_values();
    const PatchParams p = patch_params(*plan, image, t.y_begin, t.y_end, panel);
    (kRaw ? table.patches_u8 : table.patches_f32)(&p);
    const PointwiseParams q = product(w, layout, t, panel, p.panel_block_stride, dst);
    table.patch_embed[w.activation](&q);
    if (observer != nullptr) show(0, w, q);
  }

  // What a product has made.
  void show(int tensor, const PackedPointwise& w, const PointwiseParams& p) const {
    const int vectors = plan->native->table->oc_tile / plan->native->table->lanes;
    observer->see(tensor, p.tile_begin * vectors, std::min(w.oc_blk, p.tile_end * vectors), p.dst,
                  p.dst_block_stride, p.dst_offset, p.pixels);
  }

  // Depth-first: the strip's depthwise results of all channels go into the panel, which stays in
  // the thread's cache, and the pointwise product reads it there. (Where the output channels are
  // split, each part computes the panel for itself: no thread waits for another inside a layer.)
  void block(const PlaneLayout& layout, std::size_t index, const Task& t, const float* src,
             float* panel, float* sums, float* dst) const {
    const KernelTable& table = *plan->native->table;
    const NativeBlock& b = plan->native->blocks[index];
    if (t.tile_begin == t.tile_end) return;  // more parts than a Strassen product has tiles
    const float* const image =
        src + static_cast<std::size_t>(t.image) * layout.image_stride + layout.first_pixel();
    for (int c = 0; c < layout.blocks; ++c) {
      const DepthwiseParams p =
          depthwise_params(table, layout, b.depthwise, image, c, t.y_begin, t.y_end, panel);
      table.depthwise[b.depthwise.activation](&p);
    }
    const std::ptrdiff_t stride = panel_stride(table, t.pixels(layout.w));
    const PointwiseParams p = product(b.pointwise, layout, t, panel, stride, dst);
    multiply(table, b.pointwise, p, sums);
    if (observer == nullptr) return;
    const int tensor = 2 * static_cast<int>(index) + 1;
    if (t.tile_begin == 0) {
      observer->see(tensor, 0, layout.blocks, panel, stride, nullptr, p.pixels);
    }
    show(tensor + 1, b.pointwise, p);
  }

  // Of channel block c, into the classifier's panel, where images stand side by side.
  void mean(const PlaneLayout& layout, int image, int c, const float* src) {
    const KernelTable& table = *plan->native->table;
    const MeanParams p =
        mean_params(*plan, layout, src + static_cast<std::size_t>(image) * layout.image_stride, c,
                    head_panel + static_cast<std::size_t>(c) * head_stride() + image * table.lanes);
    table.mean(&p);
  }

  template <typename T>
  void run_native(const T* src, int n, float* logits, float* features) {
    const NativePlan& native = *plan->native;
    const Geometry& g = plan->geometry;
    const PlaneLayout layout(g, *native.table);
    const Split split = choose_split(g, n, threads, native.patch_embed.tiles, native.strip_rows);
    const int tasks = n * split.strips * split.parts;
    const auto stride = static_cast<std::ptrdiff_t>(head_stride());
    workers.run([&](int member) {
      float* const panel = panels + panel_floats * static_cast<std::size_t>(member);
      float* const sums = scratch + scratch_floats * static_cast<std::size_t>(member);
      float *from = planes[0], *to = planes[1];
      team.run_tasks(member, tasks, [&](int i) {
        patch_embed(layout, task(split, i, native.patch_embed.tiles), src, panel, from);
      });
      for (std::size_t b = 0; b < native.blocks.size(); ++b) {
        const int tiles = native.blocks[b].pointwise.tiles;
        team.run_tasks(member, tasks, [&](int i) {
          block(layout, b, task(split, i, tiles), from, panel, sums, to);
        });
        std::swap(from, to);
      }
      team.run_tasks(member, n * layout.blocks,
                     [&](int i) { mean(layout, i / layout.blocks, i % layout.blocks, from); });
      team.run_tasks(member, native.head.tiles, [&](int i) {
        PointwiseParams p = pointwise_params(native.head);
        p.panel = head_panel;
        p.panel_block_stride = p.dst_block_stride = stride;
        p.pixels = n;
        p.dst = head_dst;
        p.dst_offset = head_offset.data();
        p.tile_begin = i;
        p.tile_end = i + 1;
        native.head_table->pointwise[native.head.activation](&p);
      });
    });
    unpack(head_dst, n, g.num_classes, logits);
    if (features != nullptr) unpack(head_panel, n, g.dim, features);
  }

  // [block][image][lane] → (n, count).
  void unpack(const float* src, int n, int count, float* dst) const {
    const auto lanes = static_cast<std::size_t>(plan->native->table->lanes);
    for (std::size_t image = 0; image < static_cast<std::size_t>(n); ++image) {
      for (std::size_t c = 0; c < static_cast<std::size_t>(count); ++c) {
        *dst++ = src[c / lanes * head_stride() + image * lanes + c % lanes];
      }
    }
  }

  void run_onednn(const float* src, float* logits, float* features) {
    instance->run(src, false, logits, features);
  }
  void run_onednn(const std::uint8_t* src, float* logits, float* features) {
    unpack_image(src, plan->geometry, raw_image.data());
    instance->run(raw_image.data(), true, logits, features);
  }

  template <typename T>
  void run(const T* src, std::size_t n, float* logits, float* features) {
    const Geometry& g = plan->geometry;
    const std::size_t image_size = g.image_values();
    const auto classes = static_cast<std::size_t>(g.num_classes),
               dim = static_cast<std::size_t>(g.dim);
    for (std::size_t done = 0; done < n;) {
      const std::size_t now = std::min(n - done, static_cast<std::size_t>(chunk));
      float* const image_features = features == nullptr ? nullptr : features + done * dim;
      if (plan->native) {
        run_native(src + done * image_size, static_cast<int>(now), logits + done * classes,
                   image_features);
      } else {
        run_after_fork_too([&] {
          const OmpThreads guard(threads);
          for (std::size_t i = 0; i < now; ++i) {
            run_onednn(src + (done + i) * image_size, logits + (done + i) * classes,
                       features == nullptr ? nullptr : image_features + i * dim);
          }
        });
      }
      done += now;
    }
    if (features != nullptr && !plan->features.empty()) finish_features(n, features);
  }

  void finish_features(std::size_t n, float* features) const {
    const std::vector<double>&scale = plan->features.scale, &shift = plan->features.shift;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t c = 0; c < static_cast<std::size_t>(plan->geometry.dim); ++c, ++features) {
        *features = static_cast<float>(scale[c] * *features + shift[c]);
      }
    }
  }
};

Session::Session(std::shared_ptr<const Plan> plan, int threads, int chunk_size)
    : impl_(std::make_unique<Impl>(std::move(plan), threads, chunk_size)) {}
Session::~Session() = default;

void Session::run(const float* src, std::size_t n, float* logits, float* features) {
  impl_->run(src, n, logits, features);
}
void Session::run(const std::uint8_t* src, std::size_t n, float* logits, float* features) {
  impl_->run(src, n, logits, features);
}

void Session::observe(Observer* observer) { impl_->observer = observer; }

double Session::measure_fma_peak() {
  if (impl_->plan->native) {
    return convmixer::measure_fma_peak(*impl_->plan->native->table, impl_->workers);
  }
  Workers workers(impl_->threads);  // oneDNN's threads are OpenMP's
  return convmixer::measure_fma_peak(*available_tables(impl_->plan->precision()).front(), workers);
}

int Session::threads() const { return impl_->threads; }
int Session::chunk_size() const { return impl_->chunk; }
std::size_t Session::arena_bytes() const { return impl_->arena_bytes; }

}  // namespace convmixer
