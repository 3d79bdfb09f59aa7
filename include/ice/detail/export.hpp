// ICE_API marks what a shared libice exports. Everything else in it is hidden, so it loads faster,
// and no program can depend on what these headers do not promise.
#pragma once

#define ICE_API __attribute__((visibility("default")))
