// SPDX-License-Identifier: Apache-2.0
// A chunk of images through our own kernels: one call of the threads. Between blocks a task waits
// for the rows that it reads, and all threads for each other only around the classifier, and behind
// patches that lie where shared panels will. (A barrier after each block costs what the slowest
// thread takes longer; on a machine that others use as well, up to a third.)
#include <algorithm>
#include <atomic>
#include <cassert>
#include <utility>
#include <vector>

#include "engine/calls.h"
#include "engine/executor.h"
#include "engine/layout.h"
#include "engine/peak.h"
#include "engine/runner.h"
#include "engine/split.h"
#include "engine/team.h"

namespace convmixer {
namespace {

class NativeRunner : public Runner {
 public:
  NativeRunner(const Plan& plan, int threads, int chunk_size, Observer* observer)
      : plan_(plan),
        native_(*plan.native),
        layout_(plan.geometry, *plan.native->table),
        threads_(threads),
        chunk_(chunk_size != 0 ? chunk_size : choose_chunk(plan.geometry, *plan.native, threads)),
        observer_(observer),
        team_(threads) {
    assert(observer_ == nullptr || native_.table->pieces == 1);  // PlanOptions::observed
    lay_out_arena();
  }

  void run(const float* src, int n, float* logits, float* features) override {
    run_chunk(src, n, logits, features);
  }
  void run(const std::uint8_t* src, int n, float* logits, float* features) override {
    run_chunk(src, n, logits, features);
  }

  double measure_fma_peak() override {
    return convmixer::measure_fma_peak(*native_.table, team_.workers());
  }

  int chunk_size() const override { return chunk_; }
  std::size_t arena_bytes() const override {
    return arena_.bytes() + splits_.size() * sizeof(Split) + progress_.size() * sizeof(Progress) +
           (plane_offset_.size() + head_offset_.size()) * sizeof(std::int32_t);
  }

 private:
  void lay_out_arena() {
    const Geometry& g = plan_.geometry;
    const auto lanes = static_cast<std::size_t>(native_.table->lanes);
    const auto images = static_cast<std::size_t>(chunk_);
    const auto pixels = static_cast<std::size_t>(g.h) * static_cast<std::size_t>(g.w);
    int most_counts = 0;
    for (int n = 1; n <= chunk_; ++n) {
      splits_.push_back(choose_split(g, native_, n, threads_));
      panel_floats_ = std::max(panel_floats_, words_of_panels(splits_.back(), n));
      most_counts = std::max(most_counts, n * splits_.back().panels() * splits_.back().parts);
    }
    progress_ = std::vector<Progress>(static_cast<std::size_t>(most_counts));
    if (const int levels = plan_.strassen_levels(); levels != 0) {
      const StrassenLayout strassen(*native_.table, g.dim, most_strip_rows(g, native_) * g.w,
                                    levels);
      scratch_floats_ = std::max(strassen.staged_words, strassen.sum_words);
    }
    const auto team_size = static_cast<std::size_t>(threads_);
    const std::pair<float**, std::size_t> parts[] = {
        {&panels_, panel_floats_},
        {&scratch_, scratch_floats_ * team_size},
        {&planes_[0], images * layout_.image_stride},
        {&planes_[1], images * layout_.image_stride},
        {&head_panel_, static_cast<std::size_t>(layout_.blocks) * head_stride()},
        {&head_dst_, static_cast<std::size_t>(native_.head.oc_blk) * head_stride()}};
    std::size_t floats = 0;
    for (const auto& [part, size] : parts) floats += spread_stride(size);
    arena_ = Buffer<float>(floats);
    float* next = arena_.data();
    for (const auto& [part, size] : parts) {
      *part = next;
      next += spread_stride(size);
    }
    for (std::size_t i = 0; i < pixels; ++i) {
      plane_offset_.push_back(static_cast<std::int32_t>(layout_.pixel(static_cast<int>(i))));
    }
    for (std::size_t i = 0; i < images; ++i)
      head_offset_.push_back(static_cast<std::int32_t>(i * lanes));
  }

  std::size_t head_stride() const {
    return spread_stride(static_cast<std::size_t>(chunk_) *
                         static_cast<std::size_t>(native_.table->lanes));
  }

  // From a panel of so many rows to the next.
  std::size_t panel_stride(int rows) const {
    const Geometry& g = plan_.geometry;
    const int pixels = rows * g.w, levels = plan_.strassen_levels();
    const std::size_t words = panel_words(plan_, pixels);
    if (levels == 0) return words;
    return std::max(words, StrassenLayout(*native_.table, g.dim, pixels, levels).panel_words);
  }
  // Of all panels of n images; those of patches are each thread's own in any case. Of shared ones
  // blocks use two by turns.
  std::size_t words_of_panels(const Split& s, int n) const {
    const auto threads = static_cast<std::size_t>(threads_);
    const std::size_t stride = panel_stride(s.panel_rows(plan_.geometry.h));
    if (!s.shared) return threads * stride;
    return std::max(threads * panel_stride(s.rows),
                    static_cast<std::size_t>(2 * n * s.panels()) * stride);
  }

  // Of a panel in a run, or of a part of the output channels of a shared one's rows: counts that
  // only grow. A cache line each, since threads wait for them.
  struct alignas(64) Progress {
    std::atomic<int> made{0};    // its strips, by each layer; of shared panels, by each block
    std::atomic<int> filled{0};  // of a shared panel's first part: steps that have filled it
    void clear() {
      made.store(0, std::memory_order_relaxed);
      filled.store(0, std::memory_order_relaxed);
    }
  };
  struct Rows {
    int image, y_begin, y_end;
    int pixels(int w) const { return (y_end - y_begin) * w; }
  };
  struct Task : Rows {
    int tile_begin, tile_end;  // of output channels
  };
  // Of `count` for each image, of so many rows.
  Rows rows_of(int index, int count, int rows) const {
    const int y = index % count * rows;
    return {index / count, y, std::min(plan_.geometry.h, y + rows)};
  }
  Task strip_task(const Split& s, int index, int tiles) const {
    const int part = index % s.parts;
    return {rows_of(index / s.parts, s.strips, s.rows), s.part_begin(tiles, part),
            s.part_begin(tiles, part + 1)};
  }

  // A task's pixels, from a panel into planes.
  PointwiseParams product(const PackedPointwise& w, const Task& t, const float* panel,
                          std::ptrdiff_t panel_block_stride, float* planes_of_chunk) const {
    PointwiseParams p = product_params(
        w, layout_, plane_offset_.data(), t.y_begin, t.y_end, panel, panel_block_stride,
        planes_of_chunk + static_cast<std::size_t>(t.image) * layout_.image_stride);
    p.tile_begin = t.tile_begin;
    p.tile_end = t.tile_end;
    return p;
  }

  template <typename T>
  void patch_embed(const Task& t, const T* src, float* panel, float* dst) const {
    constexpr bool kRaw = sizeof(T) == 1;
    const KernelTable& table = *native_.table;
    const PackedPointwise& w = kRaw ? native_.patch_embed_raw : native_.patch_embed;
    const T* const image = src + static_cast<std::size_t>(t.image) * plan_.geometry.image_values();
    const PatchParams p = patch_params(plan_, image, t.y_begin, t.y_end, panel);
    (kRaw ? table.patches_u8 : table.patches_f32)(&p);
    const PointwiseParams q = product(w, t, panel, p.panel_block_stride, dst);
    table.patch_embed[w.activation](&q);
    if (observer_ != nullptr) show(0, w, t, q);
  }

  // What a product has made.
  void show(int tensor, const PackedPointwise& w, const Task& t, const PointwiseParams& p) const {
    const int vectors = native_.table->oc_tile / native_.table->lanes;
    observer_->see({tensor, t.image, t.y_begin * layout_.w, p.pixels, p.tile_begin * vectors,
                    std::min(w.oc_blk, p.tile_end * vectors), p.dst, p.dst_block_stride,
                    p.dst_offset});
  }

  // Depth-first: the depthwise results of all channels go into a panel of the thread's own, which
  // stays in its cache (that of a Strassen product, or of several strips, in L2 or L3), and the
  // pointwise products of its strips read them there.
  void block(std::size_t index, const Split& split, int task, const float* src, float* panel,
             float* scratch, float* dst) const {
    const NativeBlock& b = native_.blocks[index];
    const Rows rows = rows_of(task, split.panels(), split.panel_rows(layout_.h));
    fill(b, rows, 0, steps(b), src, panel, scratch);
    for (int y = rows.y_begin; y < rows.y_end; y += split.rows) {
      const Rows strip{rows.image, y, std::min(rows.y_end, y + split.rows)};
      multiply(index, {strip, 0, b.pointwise.tiles}, rows, panel, scratch, dst);
    }
  }

  // The same by all threads together. Panels are each thread's share of the channels, products of
  // the strips, or of their output channels. A thread that finds no more products to make goes on
  // to fill the next block's panels with the channels that are there, while other products still
  // read this one's.
  void shared_block(std::size_t index, const Split& split, int n, int member, const float* src,
                    float* scratch, float* dst, int filled_before) {
    const NativeBlock& b = native_.blocks[index];
    const int rows = split.panel_rows(layout_.h), panels = split.panels();
    const std::size_t stride = panel_stride(rows);
    const auto panel = [&](int i) {
      return panels_ + (static_cast<std::size_t>(i) * 2 + index % 2) * stride;
    };
    const int count = steps(b);
    team_.take_tasks(member, n * panels * count, [&](int i) {
      const int step = i % count, p = i / count;
      wait_for_channels(split, p, index, step);
      fill(b, rows_of(p, panels, rows), step, step + 1, src, panel(p), scratch);
      add_to_count(progress(split, p, 0).filled, 1);
    });
    team_.take_tasks(member, n * split.strips * split.parts, [&](int i) {
      const Task strip = strip_task(split, i, b.pointwise.tiles);
      const int p = panel_of(split, strip);
      wait_for_count(progress(split, p, 0).filled, filled_before + count);
      if (strip.tile_begin < strip.tile_end) {  // a Strassen product has fewer tiles
        multiply(index, strip, rows_of(p, panels, rows), panel(p), scratch, dst);
      }
      add_to_count(progress(split, p, i % split.parts).made, 1);
    });
  }

  int panel_of(const Split& split, const Rows& strip) const {
    return strip.image * split.panels() + strip.y_begin / split.panel_rows(layout_.h);
  }
  Progress& progress(const Split& split, int panel, int part) {
    return progress_[static_cast<std::size_t>(panel * split.parts + part)];
  }
  static int strips_of(const Split& split, int panel) {
    return std::min(split.panel_strips, split.strips - panel % split.panels() * split.panel_strips);
  }
  // Until so many layers have made what a depthwise layer reads for a panel, of one part of the
  // channels. Once it has read all of them, the panel's rows may be written by its block: they lie
  // where the block before read its inputs. Those who read these rows are the panels within reach,
  // since reach is the same above and below, and they are waited for.
  void wait_for_rows(const Split& split, int panel, int part, std::size_t layers) {
    const int panels = split.panels(), image = panel / panels * panels;
    const int reach = ceil_div(rows_reached(plan_.geometry.kernel_size, *native_.table),
                               split.panel_rows(layout_.h));
    const int first = std::max(image, panel - reach),
              end = std::min(image + panels, panel + reach + 1);
    for (int i = first; i < end; ++i) {
      wait_for_count(progress(split, i, part).made, static_cast<int>(layers) * strips_of(split, i));
    }
  }
  // Of a shared panel, for a step of block `index`. Who fills it writes where the block before the
  // last read: each of its parts was made before those that are waited for.
  void wait_for_channels(const Split& split, int panel, std::size_t index, int step) {
    if (index == 0) return;  // patches were waited for
    const PackedPointwise &w = native_.blocks[index].pointwise,
                          &before = native_.blocks[index - 1].pointwise;
    const int vectors = native_.table->oc_tile / native_.table->lanes;
    const auto wait = [&](int c) {
      // A Strassen product's tile is one of each part of the channels.
      const int tile = c % (layout_.blocks >> before.strassen) / vectors;
      wait_for_rows(split, panel, split.part_of(before.tiles, tile), index);
    };
    if (w.strassen != 0) {
      for (int c = step; c < layout_.blocks; c += layout_.blocks >> w.strassen) wait(c);
    } else {
      const int begin = step * native_.table->panel_blocks;
      const int end = std::min(layout_.blocks, begin + native_.table->panel_blocks);
      for (int c = begin; c < end; ++c) wait(c);
    }
  }

  // A panel is filled in steps: a row of channel blocks, or of a Strassen product a block of each
  // part of the channels, of which a block of each product is made while they are in L1 (or L2,
  // with two levels).
  int steps(const NativeBlock& b) const {
    return b.pointwise.strassen != 0 ? layout_.blocks >> b.pointwise.strassen
                                     : ceil_div(layout_.blocks, native_.table->panel_blocks);
  }

  void fill(const NativeBlock& b, const Rows& rows, int begin, int end, const float* src,
            float* panel, float* scratch) const {
    const KernelTable& table = *native_.table;
    const float* const image =
        src + static_cast<std::size_t>(rows.image) * layout_.image_stride + layout_.first_pixel();
    if (b.pointwise.strassen == 0) {
      const PanelLayout at = panel_layout(table, rows.pixels(layout_.w));
      const int last = std::min(layout_.blocks, end * at.blocks_beside);
      for (int c = begin * at.blocks_beside; c < last; ++c) {
        convolve(b.depthwise, rows, image, c, c + 1, panel + at.block(c));
      }
      return;
    }
    assert(observer_ == nullptr);  // the panel holds sums of channels
    const StrassenLayout s(table, plan_.geometry.dim, rows.pixels(layout_.w), b.pointwise.strassen);
    for (int c = begin; c < end; ++c) {
      for (int part = 0; part < s.parts; ++part) {
        const int next = part + 1 < s.parts ? c + (part + 1) * s.blocks
                         : c + 1 < s.blocks ? c + 1
                                            : layout_.blocks;
        convolve(b.depthwise, rows, image, c + part * s.blocks, next,
                 scratch + part * s.staged_stride);
      }
      const StrassenPanelParams p = strassen_panel_params(s, c, scratch, s.staged_stride, panel);
      table.strassen_panel(&p);
    }
  }

  // The product of a strip, or part of it, from a panel of `rows`.
  void multiply(std::size_t index, const Task& strip, const Rows& rows, const float* panel,
                float* scratch, float* dst) const {
    const NativeBlock& b = native_.blocks[index];
    const KernelTable& table = *native_.table;
    if (b.pointwise.strassen != 0) {
      const StrassenLayout s(table, plan_.geometry.dim, rows.pixels(layout_.w),
                             b.pointwise.strassen);
      const StrassenParams p =
          strassen_params(s, product(b.pointwise, strip, nullptr, 0, dst), panel, scratch);
      table.strassen[b.pointwise.activation](&p);
      return;
    }
    const PanelLayout at = panel_layout(table, rows.pixels(layout_.w));
    const PointwiseParams p =
        product(b.pointwise, strip, panel + at.pixel((strip.y_begin - rows.y_begin) * layout_.w),
                at.stride, dst);
    table.pointwise[b.pointwise.activation](&p);
    if (observer_ == nullptr) return;
    const int tensor = 2 * static_cast<int>(index) + 1;
    if (strip.tile_begin == 0) {
      observer_->see({tensor, strip.image, strip.y_begin * layout_.w, p.pixels, 0, layout_.blocks,
                      p.panel, at.stride, nullptr});
    }
    show(tensor + 1, b.pointwise, strip, p);
  }

  void convolve(const PackedDepthwise& w, const Rows& t, const float* image, int c, int next,
                float* dst) const {
    const KernelTable& table = *native_.table;
    const DepthwiseParams p =
        depthwise_params(table, layout_, w, image, c, next, t.y_begin, t.y_end, dst);
    table.depthwise[w.activation](&p);
  }

  // Of channel block c, into the classifier's panel, where images stand side by side.
  void mean(int image, int c, const float* src) {
    const KernelTable& table = *native_.table;
    const MeanParams p = mean_params(
        plan_, layout_, src + static_cast<std::size_t>(image) * layout_.image_stride, c,
        head_panel_ + static_cast<std::size_t>(c) * head_stride() + image * table.lanes);
    table.mean(&p);
  }

  template <typename T>
  void run_chunk(const T* src, int n, float* logits, float* features) {
    const Geometry& g = plan_.geometry;
    const Split& split = splits_[static_cast<std::size_t>(n) - 1];
    const auto stride = static_cast<std::ptrdiff_t>(head_stride());
    for (Progress& p : progress_) p.clear();
    team_.run([&](int member) {
      const auto own = static_cast<std::size_t>(member);
      float* const panel =
          panels_ + panel_stride(split.shared ? split.rows : split.panel_rows(g.h)) * own;
      float* const scratch = scratch_ + scratch_floats_ * own;
      float *from = planes_[0], *to = planes_[1];
      const int patch_strips = ceil_div(g.h, split.patch_rows);
      team_.take_tasks(member, n * patch_strips, [&](int i) {
        const Rows strip = rows_of(i, patch_strips, split.patch_rows);
        patch_embed({strip, 0, native_.patch_embed.tiles}, src, panel, from);
        if (!split.shared) add_to_count(progress(split, panel_of(split, strip), 0).made, 1);
      });
      if (split.shared) team_.wait();  // the patches are where the panels will be
      for (std::size_t b = 0, filled = 0; b < native_.blocks.size(); ++b) {
        if (split.shared) {
          shared_block(b, split, n, member, from, scratch, to, static_cast<int>(filled));
          filled += static_cast<std::size_t>(steps(native_.blocks[b]));
        } else {
          team_.take_tasks(member, n * split.panels(), [&](int i) {
            wait_for_rows(split, i, 0, b + 1);
            block(b, split, i, from, panel, scratch, to);
            add_to_count(progress(split, i, 0).made, strips_of(split, i));
          });
        }
        std::swap(from, to);
      }
      team_.wait();
      team_.run_tasks(member, n * layout_.blocks,
                      [&](int i) { mean(i / layout_.blocks, i % layout_.blocks, from); });
      team_.run_tasks(member, native_.head.tiles, [&](int i) {
        PointwiseParams p = pointwise_params(native_.head);
        p.panel = head_panel_;
        p.panel_block_stride = p.dst_block_stride = stride;
        p.pixels = n;
        p.dst = head_dst_;
        p.dst_offset = head_offset_.data();
        p.tile_begin = i;
        p.tile_end = i + 1;
        native_.head_table->pointwise[native_.head.activation](&p);
      });
    });
    unpack(head_dst_, n, g.num_classes, logits);
    if (features != nullptr) unpack(head_panel_, n, g.dim, features);
  }

  // [block][image][lane] → (n, count).
  void unpack(const float* src, int n, int count, float* dst) const {
    const auto lanes = static_cast<std::size_t>(native_.table->lanes);
    for (std::size_t image = 0; image < static_cast<std::size_t>(n); ++image) {
      for (std::size_t c = 0; c < static_cast<std::size_t>(count); ++c) {
        *dst++ = src[c / lanes * head_stride() + image * lanes + c % lanes];
      }
    }
  }

  const Plan& plan_;
  const NativePlan& native_;
  const PlaneLayout layout_;
  const int threads_, chunk_;
  Observer* const observer_;
  Team team_;

  std::vector<Split> splits_;  // of 1 … chunk_ images
  std::vector<Progress> progress_;

  // Panels of each thread or shared ones, and what Strassen products need besides; [2][chunk
  // images] planes; the classifier's panel and result. All in one buffer, in this order, so that
  // also the panels, which are small but read most, lie in huge pages; the buffer's end may not
  // (docs/performance.md).
  std::size_t panel_floats_ = 0, scratch_floats_ = 0;
  Buffer<float> arena_;
  float *panels_ = nullptr, *scratch_ = nullptr, *planes_[2] = {}, *head_panel_ = nullptr,
        *head_dst_ = nullptr;
  std::vector<std::int32_t> plane_offset_, head_offset_;
};

}  // namespace

std::unique_ptr<Runner> make_native_runner(const Plan& plan, int threads, int chunk_size,
                                           Observer* observer) {
  return std::make_unique<NativeRunner>(plan, threads, chunk_size, observer);
}

}  // namespace convmixer
