/* Loaded before the C library by the tests of faults, never by the service: counts what a process does to the files of its store, and at one
 * step kills it, or lets a call fail, lie or take long. A step is one call that changes a file or makes it durable.
 *
 * MEDDLE_FOLDER  only files below it count
 * MEDDLE_FILES   only files whose path holds this count
 * MEDDLE_CALLS   only calls whose name is in this list count; empty: all
 * MEDDLE_DEED    count, kill-before, kill-after, torn (half of a write, then killed), error, full, slow
 * MEDDLE_STEP    the step at which it happens; error, full and slow go on from there
 * MEDDLE_WHILE   a slow call takes as long as this file is there
 * MEDDLE_LOG     every step is written here, one a line
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long steps;

enum deed { NOTHING, BEFORE, AFTER, TORN, ERROR, FULL, SLOW };

static enum deed step_at(const char *call, const char *path) {
    const char *folder = getenv("MEDDLE_FOLDER"), *files = getenv("MEDDLE_FILES"), *calls = getenv("MEDDLE_CALLS");
    const char *deed = getenv("MEDDLE_DEED"), *at = getenv("MEDDLE_STEP"), *log = getenv("MEDDLE_LOG");
    if (!folder || !deed || strncmp(path, folder, strlen(folder)) != 0) return NOTHING;
    if (files && *files && !strstr(path, files)) return NOTHING;
    if (calls && *calls && !strstr(calls, call)) return NOTHING;
    long step = atomic_fetch_add(&steps, 1) + 1;
    if (log && *log) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%ld %s %s\n", step, call, path + strlen(folder));
        int file = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (file >= 0) { syscall(SYS_write, file, line, (size_t)length); syscall(SYS_close, file); }
    }
    long wanted = at ? atol(at) : 0;
    if (step < wanted || !strcmp(deed, "count")) return NOTHING;
    if (!strcmp(deed, "error")) return ERROR;
    if (!strcmp(deed, "full")) return FULL;
    if (!strcmp(deed, "slow")) return SLOW;
    if (step > wanted) return NOTHING;
    if (!strcmp(deed, "torn")) return TORN;
    return !strcmp(deed, "kill-before") ? BEFORE : AFTER;
}

static enum deed step_of(const char *call, int file) {
    char link[64], path[PATH_MAX];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length <= 0) return NOTHING;
    path[length] = 0;
    return step_at(call, path);
}

static void die(void) { syscall(SYS_kill, syscall(SYS_getpid), SIGKILL); for (;;) pause(); }

static int wants(enum deed deed, int *failed) {
    if (deed == BEFORE || deed == TORN) die();
    const char *held = getenv("MEDDLE_WHILE");
    struct timespec wait = { 0, 10 * 1000000 };
    while (deed == SLOW && held && access(held, F_OK) == 0) nanosleep(&wait, NULL);
    if (deed == ERROR || deed == FULL) { errno = deed == ERROR ? EIO : ENOSPC; *failed = 1; return -1; }
    return 0;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define AROUND(deed, result, call) do { int failed = 0; wants(deed, &failed); if (failed) return -1; result = call; if ((deed) == AFTER) die(); } while (0)

int fdatasync(int file) { REAL(fdatasync); int done; enum deed deed = step_of("fdatasync", file); AROUND(deed, done, real(file)); return done; }
int fsync(int file) { REAL(fsync); int done; enum deed deed = step_of("fsync", file); AROUND(deed, done, real(file)); return done; }
int ftruncate(int file, off_t length) { REAL(ftruncate); int done; enum deed deed = step_of("ftruncate", file); AROUND(deed, done, real(file, length)); return done; }
int ftruncate64(int file, off64_t length) { REAL(ftruncate64); int done; enum deed deed = step_of("ftruncate", file); AROUND(deed, done, real(file, length)); return done; }
int sync_file_range(int file, off64_t from, off64_t length, unsigned flags) {
    REAL(sync_file_range); int done; enum deed deed = step_of("sync_file_range", file); AROUND(deed, done, real(file, from, length, flags)); return done;
}

ssize_t write(int file, const void *bytes, size_t length) {
    REAL(write); ssize_t done; enum deed deed = file > 2 ? step_of("write", file) : NOTHING;
    if (deed == TORN) { real(file, bytes, length / 2); die(); }
    AROUND(deed, done, real(file, bytes, length)); return done;
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev); ssize_t done; enum deed deed = file > 2 ? step_of("write", file) : NOTHING; AROUND(deed, done, real(file, parts, count)); return done;
}
ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
    REAL(pwrite); ssize_t done; enum deed deed = step_of("write", file);
    if (deed == TORN) { real(file, bytes, length / 2, at); die(); }
    AROUND(deed, done, real(file, bytes, length, at)); return done;
}
ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
    REAL(pwrite64); ssize_t done; enum deed deed = step_of("write", file);
    if (deed == TORN) { real(file, bytes, length / 2, at); die(); }
    AROUND(deed, done, real(file, bytes, length, at)); return done;
}
int rename(const char *from, const char *to) { REAL(rename); int done; enum deed deed = step_at("rename", to); AROUND(deed, done, real(from, to)); return done; }
int unlink(const char *path) { REAL(unlink); int done; enum deed deed = step_at("unlink", path); AROUND(deed, done, real(path)); return done; }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); int done; enum deed deed = step_at("mkdir", path); AROUND(deed, done, real(path, mode)); return done; }
