// `mgm draw`, compiled for one element type.
#include "draw.hpp"

template int tool::draw<mgm::bf16, mgm::Cpu>(tool::Options const&, tool::Terminal&);
template int tool::draw<mgm::bf16, mgm::Simt>(tool::Options const&, tool::Terminal&);
