/// mma.hpp on a GPU.
#pragma once

namespace mgm::inline v0::simt::inline MGM_TWIN {

template <HalfReal T>
MGM_DEVICE void mma(float (&d)[4], unsigned const (&a)[4], unsigned const (&b)[2], Site) {
  if constexpr (std::same_as<T, bf16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
MGM_DEVICE void mma_s8(int (&d)[4], unsigned const (&a)[4], unsigned const (&b)[2], Site) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <HalfReal T, int M, int N>
MGM_DEVICE void mma_outer(float (&d)[M][N][4], unsigned const (&a)[M][4], unsigned const (&b)[N][2], Site at) {
  MGM_UNROLL for (int m = 0; m < M; ++m)
    MGM_UNROLL for (int n = 0; n < N; ++n) mma<T>(d[m][n], a[m], b[n], at);
}

}  // namespace mgm::inline v0::simt::inline MGM_TWIN
