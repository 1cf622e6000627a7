// What tests of conversations share: a byte vocabulary, from a folder that goes with the test.
#pragma once
#include <memory>

#include <gtest/gtest.h>

#include "support/files.hpp"
#include "support/tiny_model.hpp"

namespace support {

class WithVocabulary : public testing::Test {
 private:
  TempDir folder_;

 protected:
  std::shared_ptr<mgm::io::Tokenizer const> vocabulary_ = byte_vocabulary(folder_.path());
};

}  // namespace support
