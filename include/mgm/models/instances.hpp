/// Mini-Gemini with the parts of its own, compiled once for an element type and a device (core/compiled.hpp); a model with a user's parts is
/// another type, and compiled where it is used.
#pragma once
#include <mgm/core/compiled.hpp>
#include <mgm/models/open.hpp>
#include <mgm/models/session.hpp>

#define MGM_MODELS(TEMPLATE, T, Dev)               \
  TEMPLATE class ClipVit<T, Dev>;                  \
  TEMPLATE class ConvNeXt<T, Dev>;                 \
  TEMPLATE class Decoder<T, Dev>;                  \
  TEMPLATE struct MiniGemini<T, Dev>;              \
  TEMPLATE class Session<MiniGemini<T, Dev>>;      \
  TEMPLATE class Answer<Session<MiniGemini<T, Dev>>>;
#define MGM_MODELS_16(TEMPLATE, T, Dev)

#define MGM_DEFINE_MODELS(T, Dev)        \
  namespace mgm::inline v0::models {     \
  MGM_MODELS(template, T, Dev)           \
  }

#if !defined(__CUDACC__)
namespace mgm::inline v0::models {
MGM_DECLARE_COMPILED_CPU(MGM_MODELS)
MGM_DECLARE_COMPILED_SIMT(MGM_MODELS)
}  // namespace mgm::inline v0::models
#endif
