/* A libnvidia-ml.so with the signatures of nvml.h and two GPUs, for test_probe_nvml.py.
 *
 * FAKE_NVML_INIT: the code that nvmlInit_v2 returns.  FAKE_NVML_SLEEP: seconds it takes.
 * The second device does not support memory information; FAKE_NVML_LOST makes it unopenable.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef struct nvmlDevice_st { int index; } *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;

static struct nvmlDevice_st devices[2] = {{0}, {1}};
static int is_initialized = 0;

static int number(const char *name) { const char *text = getenv(name); return text ? atoi(text) : 0; }

static nvmlReturn_t put(char *buffer, unsigned int length, const char *text) {
    if (!is_initialized) return 1;
    if (strlen(text) + 1 > length) return 7;
    strcpy(buffer, text);
    return 0;
}

nvmlReturn_t nvmlInit_v2(void) {
    sleep(number("FAKE_NVML_SLEEP"));
    is_initialized = number("FAKE_NVML_INIT") == 0;
    return number("FAKE_NVML_INIT");
}
nvmlReturn_t nvmlShutdown(void) { is_initialized = 0; return 0; }
const char *nvmlErrorString(nvmlReturn_t code) {
    return code == 3 ? "Not Supported" : code == 15 ? "GPU is lost" : code == 18 ? "Driver/library version mismatch" : "Unknown Error";
}
nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    return put(version, length, "550.54.15");
}
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return 0; }
nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    if (index == 1 && number("FAKE_NVML_LOST")) return 15;
    *device = &devices[index];
    return 0;
}
nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length) {
    return put(name, length, device->index ? "NVIDIA T4" : "NVIDIA H200");
}
#ifndef FAKE_NVML_OLD
nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length) {
    return put(uuid, length, device->index ? "GPU-1b" : "GPU-0a");
}
#endif
nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    if (device->index == 1) return 3;
    memory->total = 150754820096ULL; memory->free = 1; memory->used = 2;
    return 0;
}
