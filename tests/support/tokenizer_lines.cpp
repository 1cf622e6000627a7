// Reads JSON lines of {"text": …, "ids": […]} and prints what our tokenizer makes of them; tests/reference/compare_tokenizers.py drives it.
//   tokenizer_lines FOLDER [fast|slow] < lines
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>

#include <mgm/io/tokenizer.hpp>

int main(int argc, char** argv) try {
  using namespace mgm::io;
  std::string const how = argc > 2 ? argv[2] : "";
  Tokenizer const tokenizer = Tokenizer::open(argc > 1 ? argv[1] : ".", {.prefer = how == "fast"   ? Prefer::fast
                                                                                   : how == "slow" ? Prefer::slow
                                                                                                   : Prefer::automatic});
  for (std::string line; std::getline(std::cin, line);) {
    Json const in = parse_json(line, "stdin");
    Json out;
    auto const text = get_or(in, "text", std::string(), "stdin");
    out["ids"] = tokenizer.encode(text);
    out["bare"] = tokenizer.encode(text, {.bos = false, .eos = false});
    out["plain"] = tokenizer.encode(text, {.special = Special::plain, .bos = false, .eos = false});
    auto const ids = get_or(in, "ids", std::vector<int>(), "stdin");
    out["decoded"] = tokenizer.decode(ids);
    out["skipped"] = tokenizer.decode(ids, {.skip_special = true});
    for (bool const skip : {false, true}) {
      StreamDecoder stream(tokenizer, {.skip_special = skip});
      std::string all;
      for (int const id : ids) {
        std::string const piece = stream.push(id);
        if (vocab::first_invalid(piece) != std::string::npos) all += "<cut>";
        all += piece;
      }
      all += stream.flush({.skip_special = skip});
      out[skip ? "streamed_skipped" : "streamed"] = all;
    }
    std::cout << out.dump() << '\n';
  }
  std::cout << Json{{"size", tokenizer.size()}}.dump() << '\n';
  return 0;
} catch (std::exception const& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
