/* fsync(2) and fdatasync(2) that fail while the file named by FAILING_SYNC_WHILE is there. Loaded with LD_PRELOAD. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(void) {
    const char *file = getenv("FAILING_SYNC_WHILE");
    return file != NULL && access(file, F_OK) == 0;
}

static int sync_with(long call, int descriptor) {
    if (fails()) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, descriptor);
}

int fsync(int descriptor) { return sync_with(SYS_fsync, descriptor); }
int fdatasync(int descriptor) { return sync_with(SYS_fdatasync, descriptor); }
