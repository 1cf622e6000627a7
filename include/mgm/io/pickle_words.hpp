/// The globals that a pickle of tensors may name, each a word and no function, and the names of opcodes for messages.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <mgm/core/dtype.hpp>
#include <mgm/core/error.hpp>

namespace mgm::inline v0::io::detail {

/// Order matters: the functions that make a tensor come first; storages and dtypes are followed by their Dtype's number.
enum class PickleWord : std::uint8_t {
  rebuild_tensor,
  rebuild_tensor_v2,
  rebuild_tensor_v3,
  rebuild_parameter,
  rebuild_parameter_with_state,
  rebuild_from_type,
  ordered_dict,
  size_type,
  tensor_type,
  constant,  ///< something whose value does not matter here: a device, a set, a text as bytes, a number of numpy's
  untyped_storage,
  storage_type = 32,  ///< + Dtype
  element_type = 64,  ///< + Dtype
};

/// The Dtype of a typed storage.
[[nodiscard]] constexpr std::optional<Dtype> storage_dtype(PickleWord w) {
  int const i = static_cast<int>(w) - static_cast<int>(PickleWord::storage_type);
  return i >= 0 && i <= static_cast<int>(Dtype::boolean) ? std::optional(static_cast<Dtype>(i)) : std::nullopt;
}
/// The Dtype that torch.float32 and the like stand for.
[[nodiscard]] constexpr std::optional<Dtype> word_dtype(PickleWord w) {
  int const i = static_cast<int>(w) - static_cast<int>(PickleWord::element_type);
  return i >= 0 && i <= static_cast<int>(Dtype::boolean) ? std::optional(static_cast<Dtype>(i)) : std::nullopt;
}

/// The word for module.member, or nothing: then it is refused.
[[nodiscard]] constexpr std::optional<PickleWord> find_word(std::string_view module, std::string_view member) {
  struct Global {
    std::string_view module, member;
    PickleWord word;
  };
  constexpr Global kGlobals[] = {
      {"torch._utils", "_rebuild_tensor", PickleWord::rebuild_tensor},
      {"torch._utils", "_rebuild_tensor_v2", PickleWord::rebuild_tensor_v2},
      {"torch._utils", "_rebuild_tensor_v3", PickleWord::rebuild_tensor_v3},
      {"torch._utils", "_rebuild_parameter", PickleWord::rebuild_parameter},
      {"torch._utils", "_rebuild_parameter_with_state", PickleWord::rebuild_parameter_with_state},
      {"torch._tensor", "_rebuild_from_type_v2", PickleWord::rebuild_from_type},
      {"collections", "OrderedDict", PickleWord::ordered_dict},
      {"torch", "Size", PickleWord::size_type},
      {"torch", "Tensor", PickleWord::tensor_type},
      {"torch.nn.parameter", "Parameter", PickleWord::tensor_type},
      {"torch.storage", "UntypedStorage", PickleWord::untyped_storage},
      {"torch", "device", PickleWord::constant},
      {"collections", "Counter", PickleWord::constant},
      {"_codecs", "encode", PickleWord::constant},
      {"__builtin__", "set", PickleWord::constant},
      {"__builtin__", "bytearray", PickleWord::constant},
      {"__builtin__", "complex", PickleWord::constant},
      {"builtins", "set", PickleWord::constant},
      {"builtins", "bytearray", PickleWord::constant},
      {"builtins", "complex", PickleWord::constant},
      // what PyTorch Lightning leaves beside the weights in original Stable Diffusion checkpoints
      {"pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint", PickleWord::constant},
      {"pytorch_lightning.callbacks", "ModelCheckpoint", PickleWord::constant},
      {"numpy.core.multiarray", "scalar", PickleWord::constant},
      {"numpy", "dtype", PickleWord::constant},
  };
  for (auto const& global : kGlobals)
    if (global.module == module && global.member == member) return global.word;
  if (module != "torch" && module != "torch.cuda") return std::nullopt;
  struct Type {
    std::string_view storage, element;
    Dtype dtype;
  };
  constexpr Type kTypes[] = {
      {"DoubleStorage", "float64", Dtype::f64},     {"FloatStorage", "float32", Dtype::f32}, {"HalfStorage", "float16", Dtype::f16},
      {"BFloat16Storage", "bfloat16", Dtype::bf16}, {"LongStorage", "int64", Dtype::i64},    {"IntStorage", "int32", Dtype::i32},
      {"ShortStorage", "int16", Dtype::i16},        {"CharStorage", "int8", Dtype::i8},      {"ByteStorage", "uint8", Dtype::u8},
      {"BoolStorage", "bool", Dtype::boolean},
  };
  for (auto const& type : kTypes) {
    auto const i = static_cast<int>(type.dtype);
    if (type.storage == member) return static_cast<PickleWord>(static_cast<int>(PickleWord::storage_type) + i);
    if (type.element == member && module == "torch") return static_cast<PickleWord>(static_cast<int>(PickleWord::element_type) + i);
  }
  return std::nullopt;
}

/// "INST", or the byte where it has no name here.
[[nodiscard]] inline std::string opcode_name(unsigned char op) {
  struct Opcode {
    unsigned char byte;
    std::string_view name;
  };
  constexpr Opcode kNames[] = {
      {'i', "INST"},
      {'o', "OBJ"},
      {0x81, "NEWOBJ"},
      {0x92, "NEWOBJ_EX"},
      {0x82, "EXT1"},
      {0x83, "EXT2"},
      {0x84, "EXT4"},
      {0x93, "STACK_GLOBAL"},
      {'P', "PERSID"},
      {'R', "REDUCE"},
      {'b', "BUILD"},
      {'I', "INT"},
      {'L', "LONG"},
      {'F', "FLOAT"},
      {'S', "STRING"},
      {'T', "BINSTRING"},
      {'V', "UNICODE"},
      {'d', "DICT"},
      {'l', "LIST"},
      {'0', "POP"},
      {'1', "POP_MARK"},
      {'2', "DUP"},
      {'g', "GET"},
      {'p', "PUT"},
      {'B', "BINBYTES"},
      {'C', "SHORT_BINBYTES"},
      {0x8B, "LONG4"},
      {0x8C, "SHORT_BINUNICODE"},
      {0x8D, "BINUNICODE8"},
      {0x8E, "BINBYTES8"},
      {0x90, "ADDITEMS"},
      {0x91, "FROZENSET"},
      {0x94, "MEMOIZE"},
      {0x95, "FRAME"},
      {0x96, "BYTEARRAY8"},
      {0x97, "NEXT_BUFFER"},
      {0x98, "READONLY_BUFFER"},
      {'a', "APPEND"},
      {'e', "APPENDS"},
      {'s', "SETITEM"},
      {'u', "SETITEMS"},
      {'t', "TUPLE"},
      {0x85, "TUPLE1"},
      {0x86, "TUPLE2"},
      {0x87, "TUPLE3"},
      {'Q', "BINPERSID"},
      {'q', "BINPUT"},
      {'r', "LONG_BINPUT"},
      {'.', "STOP"},
  };
  for (auto const& opcode : kNames)
    if (opcode.byte == op) return std::string(opcode.name);
  return text("0x", "0123456789abcdef"[op >> 4], "0123456789abcdef"[op & 15]);
}

}  // namespace mgm::inline v0::io::detail
