/* Makes every fdatasync take SYNC_DELAY_US microseconds longer, as on a slower disk (LD_PRELOAD). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    const char *delay_us = getenv("SYNC_DELAY_US");
    int result = real(descriptor);
    usleep(delay_us ? (useconds_t)atoi(delay_us) : 0);
    return result;
}
