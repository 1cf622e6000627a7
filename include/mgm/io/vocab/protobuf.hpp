/// The wire form of protocol buffers, as far as a SentencePiece model needs it: fields of one message, bounds checked.
#pragma once
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include <mgm/core/error.hpp>

namespace mgm::inline v0::io::vocab {

/// One field of a message.
struct WireField {
  enum class Kind { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
  std::uint32_t number = 0;
  Kind kind = Kind::varint;
  std::uint64_t value = 0;  ///< of varint, fixed64, fixed32
  std::string_view bytes;   ///< of bytes
};

/// Walks over the fields of a message; what it returns points into the message. Throws FileError naming file, message and byte.
class WireReader {
 public:
  /// `message` begins at byte `offset` of the file called `file`; `name` says what it is.
  WireReader(std::string_view message, std::string_view file, std::string_view name, std::size_t offset = 0)
      : message_(message), file_(file), name_(name), offset_(offset) {}

  /// False at the end.
  [[nodiscard]] bool next(WireField& field) {
    if (at_ == message_.size()) return false;
    std::uint64_t const tag = varint();
    check(tag >> 3 != 0 && tag >> 3 < (1U << 29), "a field number from 1 to 536870911", tag >> 3);
    field = {.number = static_cast<std::uint32_t>(tag >> 3), .kind = static_cast<WireField::Kind>(tag & 7), .value = 0, .bytes = {}};
    switch (tag & 7) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.value = fixed(8);
        break;
      case 5:
        field.value = fixed(4);
        break;
      case 2: {
        std::uint64_t const length = varint();
        check(length <= message_.size() - at_, text("at most ", message_.size() - at_, " bytes in field ", field.number), length);
        field.bytes = message_.substr(at_, static_cast<std::size_t>(length));
        at_ += static_cast<std::size_t>(length);
        break;
      }
      default:
        check(false, "wire type 0, 1, 2 or 5", tag & 7);
    }
    return true;
  }
  /// Throws unless `field` has this kind.
  void expect(WireField const& field, WireField::Kind kind) const {
    check(field.kind == kind, text("wire type ", static_cast<int>(kind), " for field ", field.number),
          static_cast<std::uint64_t>(field.kind));
  }
  [[nodiscard]] std::string_view take_bytes(WireField const& field) const { return expect(field, WireField::Kind::bytes), field.bytes; }
  [[nodiscard]] bool take_bool(WireField const& field) const { return expect(field, WireField::Kind::varint), field.value != 0; }
  [[nodiscard]] float take_float(WireField const& field) const {
    return expect(field, WireField::Kind::fixed32), std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
  }
  /// Byte of the file behind the last field read.
  [[nodiscard]] std::size_t where() const noexcept { return offset_ + at_; }

 private:
  void check(bool ok, std::string_view expected, std::uint64_t found) const {
    require<FileError>(ok, file_, ": ", name_, " ends or lies at byte ", where(), ": expected ", expected, ", found ", found,
                       "; the file is damaged or no SentencePiece model: download it again");
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      check(at_ < message_.size(), "a number that ends before its message does", message_.size());
      auto const byte = static_cast<unsigned char>(message_[at_++]);
      check(shift < 63 || byte < 2, "a number of at most 64 bits", byte);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return value;
  }
  std::uint64_t fixed(std::size_t count) {
    check(message_.size() - at_ >= count, text(count, " bytes"), message_.size() - at_);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value |= static_cast<std::uint64_t>(static_cast<unsigned char>(message_[at_ + i])) << (8 * i);
    at_ += count;
    return value;
  }

  std::string_view message_;
  std::string file_, name_;
  std::size_t offset_, at_ = 0;
};

}  // namespace mgm::inline v0::io::vocab
