/// `tokenizer.model`: what a SentencePiece model file says, checked, before anything is built from it (spec: sentencepiece_model.proto).
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <mgm/core/error.hpp>
#include <mgm/io/vocab/protobuf.hpp>
#include <mgm/io/vocab/utf8.hpp>

namespace mgm::inline v0::io::vocab {

/// Pieces, and the settings that encoding and decoding need. The id of a piece is its position.
struct SentencePieceFile {
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };
  static constexpr std::size_t kMaxPieces = 1U << 22;

  std::vector<Piece> pieces;
  int unknown = -1;            ///< id of the one piece of type unknown
  bool byte_fallback = false;  ///< then `byte_ids` holds the 256 byte pieces
  std::array<int, 256> byte_ids{};
  bool space_as_suffix = false;                    ///< the dummy space goes behind the text
  std::string unknown_surface = " \xE2\x81\x87 ";  ///< what an unknown piece decodes to
  std::string charsmap;                            ///< compiled normalisation rules, empty for identity
  bool dummy_prefix = true, trim_spaces = true, escape_spaces = true;
};

/// The byte that a piece "<0x00>" … "<0xFF>" stands for, or -1.
[[nodiscard]] inline int byte_of_piece(std::string_view piece) noexcept {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  auto const digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
  int const high = digit(piece[3]), low = digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

namespace detail {
inline SentencePieceFile::Piece read_piece(std::string_view message, std::string_view file, std::size_t offset, std::size_t id) {
  SentencePieceFile::Piece piece;
  WireReader reader(message, file, text("piece ", id), offset);
  for (WireField field; reader.next(field);) {
    if (field.number == 1) {
      piece.text = reader.take_bytes(field);
    } else if (field.number == 2) {
      piece.score = reader.take_float(field);
    } else if (field.number == 3) {
      reader.expect(field, WireField::Kind::varint);
      require<FileError>(field.value >= 1 && field.value <= 6, file, ": piece ", id, ": expected a type from 1 to 6, found ", field.value);
      piece.type = static_cast<SentencePieceFile::Type>(field.value);
    }
  }
  require<FileError>(!piece.text.empty(), file, ": piece ", id, ": expected a text, found none");
  require<FileError>(first_invalid(piece.text) == std::string_view::npos, file, ": piece ", id, ": expected UTF-8, found other bytes in ",
                     mgm::quoted(piece.text));
  require<FileError>(!std::isnan(piece.score), file, ": piece ", id, " ", mgm::quoted(piece.text),
                     ": expected a number as score, found NaN");
  return piece;
}

inline void read_trainer(SentencePieceFile& out, std::string_view message, std::string_view file, std::size_t offset) {
  WireReader reader(message, file, "the trainer settings", offset);
  std::uint64_t model_type = 1;  // the format's default
  for (WireField field; reader.next(field);) {
    if (field.number == 3) {
      reader.expect(field, WireField::Kind::varint), model_type = field.value;
    } else if (field.number == 24) {
      out.space_as_suffix = reader.take_bool(field);
    } else if (field.number == 35) {
      out.byte_fallback = reader.take_bool(field);
    } else if (field.number == 44) {
      out.unknown_surface.clear(), append_repaired(out.unknown_surface, reader.take_bytes(field));
    }
  }
  constexpr std::string_view names[] = {"unnamed", "unigram", "bpe", "word", "char"};
  require<FileError>(model_type == 2, file, ": SentencePiece models of type ", names[model_type < 5 ? model_type : 0], " (", model_type,
                     ") are not supported; supported: bpe (2)");
}

inline void read_normalizer(SentencePieceFile& out, std::string_view message, std::string_view file, std::size_t offset) {
  WireReader reader(message, file, "the normalizer settings", offset);
  for (WireField field; reader.next(field);) {
    if (field.number == 2) out.charsmap = reader.take_bytes(field);
    if (field.number == 3) out.dummy_prefix = reader.take_bool(field);
    if (field.number == 4) out.trim_spaces = reader.take_bool(field);
    if (field.number == 5) out.escape_spaces = reader.take_bool(field);
  }
}

inline void refuse_denormalizer(std::string_view message, std::string_view file, std::size_t offset) {
  WireReader reader(message, file, "the denormalizer settings", offset);
  for (WireField field; reader.next(field);)
    require<FileError>(field.number != 2 || reader.take_bytes(field).empty(), file,
                       ": a denormalizer with character rules is not supported; supported: none");
}
}  // namespace detail

/// Reads the bytes of a `tokenizer.model`; `file` is its name for messages. Throws FileError for anything that is not a BPE model whose
/// pieces are distinct, valid and complete: one unknown piece, and all 256 bytes exactly where byte fallback is on.
[[nodiscard]] inline SentencePieceFile read_sentencepiece_file(std::string_view bytes, std::string_view file) {
  require<FileError>(!bytes.empty(), file, ": expected a SentencePiece model, found an empty file");
  require<FileError>(!bytes.starts_with("version https://git-lfs"), file,
                     ": this is a git-LFS pointer, not a model; fetch the file itself (git lfs pull)");
  SentencePieceFile out;
  WireReader reader(bytes, file, "the model");
  bool trained = false;
  for (WireField field; reader.next(field);) {
    std::size_t const offset = reader.where() - field.bytes.size();
    if (field.number == 1) {
      require<FileError>(out.pieces.size() < SentencePieceFile::kMaxPieces, file, ": more than ", SentencePieceFile::kMaxPieces, " pieces");
      out.pieces.push_back(detail::read_piece(reader.take_bytes(field), file, offset, out.pieces.size()));
    } else if (field.number == 2) {
      detail::read_trainer(out, reader.take_bytes(field), file, offset), trained = true;
    } else if (field.number == 3) {
      detail::read_normalizer(out, reader.take_bytes(field), file, offset);
    } else if (field.number == 5) {
      detail::refuse_denormalizer(reader.take_bytes(field), file, offset);
    }
  }
  require<FileError>(!out.pieces.empty(), file, ": expected pieces, found none; this is no SentencePiece model");
  require<FileError>(trained, file, ": expected trainer settings (field 2), found none; the file is cut off or of another kind");

  out.byte_ids.fill(-1);
  for (std::size_t id = 0; id < out.pieces.size(); ++id) {
    SentencePieceFile::Piece const& piece = out.pieces[id];
    if (piece.type == SentencePieceFile::Type::unknown) {
      require<FileError>(out.unknown < 0, file, ": expected one unknown piece, found pieces ", out.unknown, " and ", id);
      out.unknown = static_cast<int>(id);
    } else if (piece.type == SentencePieceFile::Type::byte) {
      int const byte = byte_of_piece(piece.text);
      require<FileError>(out.byte_fallback, file, ": piece ", id, " is a byte, but byte_fallback is off");
      require<FileError>(byte >= 0, file, ": piece ", id, ": expected a byte <0x00> to <0xFF>, found ", mgm::quoted(piece.text));
      require<FileError>(out.byte_ids[static_cast<std::size_t>(byte)] < 0, file, ": piece ", id, ": ", mgm::quoted(piece.text),
                         " is there twice");
      out.byte_ids[static_cast<std::size_t>(byte)] = static_cast<int>(id);
    }
  }
  require<FileError>(out.unknown >= 0, file, ": expected one unknown piece, found none");
  if (out.byte_fallback)
    for (std::size_t byte = 0; byte < 256; ++byte)
      require<FileError>(out.byte_ids[byte] >= 0, file, ": byte_fallback is on, but the piece of byte ", byte, " is missing");
  return out;
}

}  // namespace mgm::inline v0::io::vocab
