// The commands that run a model, compiled for one element type and one device.
#include "dump.hpp"
#include "eval.hpp"

template int tool::chat<float, mgm::Simt>(tool::Options const&, tool::Terminal&);
template int tool::dump<float, mgm::Simt>(tool::Options const&, tool::Terminal&);
template int tool::eval<float, mgm::Simt>(tool::Options const&, tool::Terminal&);
