// The one instantiation of what precompiled.hpp says is elsewhere.
#define ICE_EXTERN

#include "precompiled.hpp"
