#pragma once
#include <mgm/io/file.hpp>
#include <mgm/io/tensor_info.hpp>
namespace mgm::inline v0::io {
inline std::vector<TensorInfo> read_torch_zip(MappedFile const& f, Limits const&) { throw FileError(f.path()+": PyTorch files are not read yet"); }
inline std::vector<TensorInfo> read_torch_legacy(MappedFile const& f, Limits const&) { throw FileError(f.path()+": PyTorch files are not read yet"); }
}
