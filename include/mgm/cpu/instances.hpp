/// The processor's kernels that are worth compiling once (core/compiled.hpp): each header of this folder lists its own as MGM_CPU_X.
#pragma once
#include <mgm/cpu/attention.hpp>
#include <mgm/cpu/conv.hpp>
#include <mgm/cpu/depthwise.hpp>
#include <mgm/cpu/gemm.hpp>
#include <mgm/cpu/group_norm.hpp>
#include <mgm/cpu/mining.hpp>
#include <mgm/cpu/mining_statistics.hpp>
#include <mgm/cpu/norm.hpp>

/// All of them, by MGM_DEFINE_COMPILED for float, or by MGM_DEFINE_COMPILED_16 for a 16-bit type.
#define MGM_DEFINE_CPU(DEFINE, T)           \
  namespace mgm::inline v0::cpu {           \
  DEFINE(MGM_CPU_GEMV, T, Cpu)              \
  DEFINE(MGM_CPU_GEMM, T, Cpu)              \
  DEFINE(MGM_CPU_ATTENTION, T, Cpu)         \
  DEFINE(MGM_CPU_NORM, T, Cpu)              \
  DEFINE(MGM_CPU_GROUP_NORM, T, Cpu)        \
  DEFINE(MGM_CPU_CONV, T, Cpu)              \
  DEFINE(MGM_CPU_DEPTHWISE, T, Cpu)         \
  DEFINE(MGM_CPU_MINING_STATISTICS, T, Cpu) \
  DEFINE(MGM_CPU_MINING, T, Cpu)            \
  }
