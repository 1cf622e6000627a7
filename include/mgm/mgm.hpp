/// Everything a program needs to run a model, except readers of picture files (mgm/io/read_image.hpp, target mgm::images).
#pragma once
#include <mgm/models/instances.hpp>
#include <mgm/models/open.hpp>
#include <mgm/models/session.hpp>

namespace mgm::inline v0 {
using io::Image;
}
