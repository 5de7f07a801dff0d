#include "images/attributes.h"

#include <string.h>

namespace squeeze::images {
namespace {

// A permutation, and how messages write it.
struct Permutation {
  int64_t axes[4];
  const char* text;
};

constexpr Permutation kFirst[] = {{{0, 1, 2}, "[0, 1, 2]"}, {{0, 1, 2, 3}, "[0, 1, 2, 3]"}};
constexpr Permutation kFromLast[] = {{{0, 2, 1}, "[0, 2, 1]"}, {{0, 3, 1, 2}, "[0, 3, 1, 2]"}};
constexpr Permutation kToLast[] = {{{0, 2, 1}, "[0, 2, 1]"}, {{0, 2, 3, 1}, "[0, 2, 3, 1]"}};

abi::Status* ReadOrder(const Reader& read, const char* name, size_t rank,
                       const Permutation (&lasts)[2], Order* order) {
  const Permutation &first = kFirst[rank - 3], &last = lasts[rank - 3];
  int64_t axes[4];
  SQUEEZE_RETURN_IF_ERROR(read.Ints(name, axes, rank));
  const bool is_last = memcmp(axes, last.axes, rank * sizeof *axes) == 0;
  *order = is_last ? Order::kChannelsLast : Order::kChannelsFirst;
  if (is_last || memcmp(axes, first.axes, rank * sizeof *axes) == 0) return nullptr;
  return Fail(read.api(), "%s: attribute %s must be %s or %s", read.where(), name, first.text,
              last.text);
}

}  // namespace

abi::Status* ReadOrders(const Reader& read, size_t rank, Order* x, Order* y) {
  SQUEEZE_RETURN_IF_ERROR(ReadOrder(read, "x_perm", rank, kFromLast, x));
  return ReadOrder(read, "y_perm", rank, kToLast, y);
}

abi::Status* ReadWindow(const Reader& read, size_t spatial, Window* window) {
  Window& w = *window;
  int32_t* const strides[] = {&w.stride_h, &w.stride_w};
  int32_t* const dilations[] = {&w.dilation_h, &w.dilation_w};
  int32_t* const pads[] = {&w.pad_top, &w.pad_left, &w.pad_bottom, &w.pad_right};
  int32_t* const pads_of_one[] = {&w.pad_left, &w.pad_right};
  const size_t skip = 2 - spatial;
  w.stride_h = w.dilation_h = 1;
  w.pad_top = w.pad_bottom = 0;
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("strides", 1, spatial, strides + skip));
  SQUEEZE_RETURN_IF_ERROR(read.Sizes("dilations", 1, spatial, dilations + skip));
  return read.Sizes("pads", 0, 2 * spatial, skip ? pads_of_one : pads);
}

abi::Status* ReadGeometry(const Reader& read, const Tensor& w, Geometry* geometry) {
  SQUEEZE_RETURN_IF_ERROR(ReadWindow(read, w.rank - 2, geometry));
  int64_t groups = 0;
  SQUEEZE_RETURN_IF_ERROR(read.Int("group", 1, kMaxSize, &groups));
  const int64_t outputs = w.dims[0], in_channels = w.dims[1] * groups;
  if (outputs % groups != 0 || in_channels > kMaxSize) {
    return Fail(read.api(),
                "%s: attribute group is %lld, expected a divisor of %lld outputs, and at most %lld "
                "channels in all",
                read.where(), static_cast<long long>(groups), static_cast<long long>(outputs),
                static_cast<long long>(kMaxSize));
  }
  geometry->groups = static_cast<int32_t>(groups);
  geometry->out_channels = static_cast<int32_t>(outputs);
  geometry->in_channels = static_cast<int32_t>(in_channels);
  geometry->kernel_h = w.rank == 4 ? static_cast<int32_t>(w.dims[2]) : 1;
  geometry->kernel_w = static_cast<int32_t>(w.dims[w.rank - 1]);
  return nullptr;
}

}  // namespace squeeze::images
