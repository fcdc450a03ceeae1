#ifndef EXT_WORKER_ENGINE_TYPE_H
#define EXT_WORKER_ENGINE_TYPE_H

#include "ext/worker/engine_object.h"

extern PyType_Spec engine_spec;

#endif
