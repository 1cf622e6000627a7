#include <mgm/cpu/patches.hpp>

#include "support/reference_vision.hpp"

namespace patches_test {

using namespace mgm;

template <class T>
void check(Size h, Size w, Size channels, Size p, int threads) {
  auto const image = support::normal<T>(Extents<3>{{h, w, channels}}, 1);
  Size const rows = h / p, cols = w / p;
  auto out = support::filled<T>(Extents<2>{{rows * cols, p * p * channels}}, NAN);
  support::PlainThreads pool(threads);
  cpu::patches<T>({&pool, Isa::portable}, image.view(), p, out.view());
  for (Size n = 0; n < rows * cols; ++n)
    for (Size ky = 0; ky < p; ++ky)
      for (Size kx = 0; kx < p; ++kx)
        for (Size c = 0; c < channels; ++c)
          ASSERT_EQ(float(out.view()(n, (ky * p + kx) * channels + c)), float(image.view()(n / cols * p + ky, n % cols * p + kx, c)))
              << h << "x" << w << "x" << channels << " " << p;
}

TEST(Patches, ReadingOrderAndFlooredSides) {
  for (int const threads : {1, 2, 3}) {
    check<float>(28, 42, 3, 14, threads), check<bf16>(9, 11, 5, 2, threads), check<half>(16, 16, 3, 4, threads);
    check<float>(3, 3, 7, 1, threads), check<float>(3, 3, 7, 3, threads), check<float>(100, 120, 3, 4, threads);
    check<float>(3, 9, 2, 4, threads);  // no patch at all
  }
}

}  // namespace patches_test
