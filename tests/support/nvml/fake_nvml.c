/* Stands in for libnvidia-ml.so.1, so that the real binding runs where there is no GPU.

   Beside the library lie `state` (what the GPUs are like, replaced by rename; FakeGpus in __init__.py writes
   it), `claims/` (a file PID.GPU for what a living process has allocated, its text the MiB; GPU is an index or
   a UUID) and, where a test wants to know, `calls` (every call is appended). Lines of `state`:

       driver VERSION          the kernel's; a library that was initialised under another one is out of step
       error CALL CODE         the call returns that code
       hang CALL               the call never returns
       crash CALL              the call is the end of the process
       stuck CALL PATH         the call opens that file, of a filesystem that never answers
       garbage CALL            the pids that the call gives are not any process's
       gpu UUID NAME           begins a GPU; what follows is about it, those five too
       instance UUID NAME      begins a MIG instance of the last GPU
       memory TOTAL USED RESERVED      MiB; USED without what the processes hold
       process PID MIB GHOST   a compute process; MIB -1: not available; GHOST 1: stays when the pid does not live
       graphics PID MIB GHOST
       utilisation|temperature|power|throttle|mig VALUE
       xid NUMBER SEQUENCE     an event; those from before the registration are not delivered
*/
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
       TIMEOUT = 10, MISMATCH = 18, GPU_NOT_FOUND = 28 };
enum { DEVICES = 256, PROCESSES = 256, FAULTS = 64, XIDS = 64, ID = 96 };
#define MIB (1ull << 20)
#define XID_CRITICAL 8ull

typedef unsigned int uint;
typedef unsigned long long ull;
typedef struct { ull total, free, used; } memory_v1;
typedef struct { uint version; ull total, reserved, free, used; } memory_v2;
typedef struct { uint pid; ull used; uint gpu_instance, compute_instance; } process_info;
typedef struct { uint gpu, memory; } utilization;
typedef struct { void *device; ull type, data; uint gpu_instance, compute_instance; } event_data;

enum { HANG = -1, CRASH = -2, STUCK = -3, GARBAGE = -4 };
typedef struct { char call[ID], path[512]; int code; } fault;
typedef struct { uint pid; long mib; int ghost, graphics; } process;
typedef struct { uint number, sequence; } xid;
typedef struct {
    char uuid[ID], name[ID];
    int parent, index, mig; /* parent: -1 for a GPU */
    long total, used, reserved, utilisation, temperature, power, throttle;
    process processes[PROCESSES];
    int process_count;
    fault faults[FAULTS];
    int fault_count;
    xid xids[XIDS];
    int xid_count;
} device;

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static char folder[4000], driver[ID], driver_at_init[ID];
static struct stat seen;
static device devices[DEVICES];
static int device_count, initialised;
static fault faults[FAULTS];
static int fault_count;
static char handles[DEVICES][ID]; /* a handle points to its UUID here, and stays good whatever is removed */
static uint delivered, registered_count;
static char registered[DEVICES][ID];

static const char *in_folder(const char *name)
{
    static char path[4096];
    if (!folder[0]) {
        Dl_info info;
        dladdr((void *)in_folder, &info);
        snprintf(folder, sizeof folder, "%s", info.dli_fname);
        *strrchr(folder, '/') = 0;
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* --- the state --- */

static device *begin(const char *uuid, const char *name, int parent)
{
    device *d = &devices[device_count++];
    memset(d, 0, sizeof *d);
    snprintf(d->uuid, ID, "%s", uuid);
    snprintf(d->name, ID, "%s", name);
    d->parent = parent;
    for (device *other = devices; other < d; other++)
        d->index += other->parent == parent;
    return d;
}

static void take(char *line)
{
    static int gpu;
    char word[64], text[ID], rest[512] = "";
    long a = 0, b = 0, c = 0;
    device *d = device_count ? &devices[device_count - 1] : NULL;
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "%63s %95s %511[^\n]", word, text, rest) < 2)
        return;
    sscanf(line, "%*s %ld %ld %ld", &a, &b, &c);
    if (!strcmp(word, "gpu"))
        gpu = begin(text, rest, -1) - devices;
    else if (!strcmp(word, "instance"))
        begin(text, rest, gpu);
    else if (!strcmp(word, "driver"))
        snprintf(driver, sizeof driver, "%s", text);
    else if (strchr("ehcs", word[0]) || !strcmp(word, "garbage")) {
        fault *f = d ? &d->faults[d->fault_count++] : &faults[fault_count++];
        snprintf(f->call, sizeof f->call, "%s", text);
        snprintf(f->path, sizeof f->path, "%s", rest);
        f->code = word[0] == 'e'   ? atoi(rest)
                  : word[0] == 'h' ? HANG
                  : word[0] == 'c' ? CRASH
                  : word[0] == 's' ? STUCK
                                   : GARBAGE;
    } else if (!strcmp(word, "memory"))
        d->total = a, d->used = b, d->reserved = c;
    else if (!strcmp(word, "process") || !strcmp(word, "graphics"))
        d->processes[d->process_count++] = (process){(uint)a, b, (int)c, word[0] == 'g'};
    else if (!strcmp(word, "utilisation"))
        d->utilisation = a;
    else if (!strcmp(word, "temperature"))
        d->temperature = a;
    else if (!strcmp(word, "power"))
        d->power = a;
    else if (!strcmp(word, "throttle"))
        d->throttle = a;
    else if (!strcmp(word, "mig"))
        d->mig = (int)a;
    else if (!strcmp(word, "xid"))
        d->xids[d->xid_count++] = (xid){(uint)a, (uint)b};
}

static void look(void)
{
    struct stat now;
    char line[512];
    FILE *file = fopen(in_folder("state"), "re");
    if (!file)
        return;
    fstat(fileno(file), &now);
    if (now.st_ino != seen.st_ino || memcmp(&now.st_mtim, &seen.st_mtim, sizeof now.st_mtim)) {
        seen = now;
        device_count = fault_count = 0;
        while (fgets(line, sizeof line, file))
            take(line);
    }
    fclose(file);
}

static device *find(const void *handle)
{
    for (device *d = devices; handle && d < devices + device_count; d++)
        if (!strcmp(d->uuid, handle))
            return d;
    return NULL;
}

static void *handle_of(const device *d)
{
    int i = 0;
    while (handles[i][0] && strcmp(handles[i], d->uuid))
        i++;
    return strcpy(handles[i], d->uuid);
}

static int faulty(const fault *list, int count, const char *call)
{
    for (const fault *f = list; f < list + count; f++)
        if (!strcmp(f->call, call)) {
            if (f->code == CRASH)
                kill(getpid(), SIGSEGV);
            if (f->code == STUCK)
                close(open(f->path, O_RDONLY | O_CLOEXEC));
            while (f->code == HANG) {
                pthread_mutex_unlock(&guard);
                pause();
            }
            return f->code > 0 ? f->code : OK;
        }
    return OK;
}

static void note(const char *call, const void *handle)
{
    int fd = open(in_folder("calls"), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return;
    dprintf(fd, "%s %s\n", call, handle ? (const char *)handle : "-");
    close(fd);
}

/* What every call begins with: its code, and its device where it has one. */
static int enter(const char *call, const void *handle, device **d)
{
    int code;
    look();
    note(call, handle);
    if ((code = faulty(faults, fault_count, call)))
        return code;
    if (!initialised)
        return UNINITIALIZED;
    if (strcmp(driver, driver_at_init))
        return MISMATCH;
    if (!d)
        return OK;
    if (!(*d = find(handle)))
        return handle ? GPU_NOT_FOUND : INVALID_ARGUMENT;
    return faulty((*d)->faults, (*d)->fault_count, call);
}

#define API(name, arguments, handle, ...)                                                                              \
    int name arguments                                                                                                 \
    {                                                                                                                  \
        device *d = NULL;                                                                                              \
        pthread_mutex_lock(&guard);                                                                                    \
        int code = enter(#name, handle, &d);                                                                           \
        if (!code) {                                                                                                   \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
        pthread_mutex_unlock(&guard);                                                                                  \
        return code;                                                                                                   \
    }
#define PLAIN(name, arguments, ...)                                                                                    \
    int name arguments                                                                                                 \
    {                                                                                                                  \
        pthread_mutex_lock(&guard);                                                                                    \
        int code = enter(#name, NULL, NULL);                                                                           \
        if (!code) {                                                                                                   \
            __VA_ARGS__;                                                                                               \
        }                                                                                                              \
        pthread_mutex_unlock(&guard);                                                                                  \
        return code;                                                                                                   \
    }

/* --- what processes hold --- */

static int lives(uint pid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(file);
    return state != 'Z' && state != 'X';
}

/* What is on the device now: of the state and, for compute, of the claims. */
static int holders(const device *d, int graphics, process *found)
{
    int count = 0, most = PROCESSES;
    for (const process *p = d->processes; p < d->processes + d->process_count; p++)
        if (p->graphics == graphics && (p->ghost || lives(p->pid)))
            found[count++] = *p;
    DIR *claims = graphics ? NULL : opendir(in_folder("claims"));
    for (struct dirent *entry; claims && count < most && (entry = readdir(claims));) {
        char path[4400], gpu[ID], index[16];
        process p = {0};
        if (sscanf(entry->d_name, "%u.%95s", &p.pid, gpu) != 2 || !lives(p.pid))
            continue;
        snprintf(index, sizeof index, "%d", d->index);
        if (strcmp(gpu, d->uuid) && (d->parent >= 0 || strcmp(gpu, index)))
            continue;
        snprintf(path, sizeof path, "%s/claims/%s", folder, entry->d_name);
        FILE *file = fopen(path, "re");
        if (!file)
            continue;
        if (fscanf(file, "%ld", &p.mib) == 1)
            found[count++] = p;
        fclose(file);
    }
    if (claims)
        closedir(claims);
    return count;
}

static long used(const device *d)
{
    process found[PROCESSES];
    long sum = d->used;
    for (int graphics = 0; graphics < 2; graphics++)
        for (int i = holders(d, graphics, found); i-- > 0;)
            sum += found[i].mib > 0 ? found[i].mib : 0;
    return sum;
}

static int list(const char *call, const device *d, int graphics, uint *room, process_info *out)
{
    process found[PROCESSES];
    uint shift = 0;
    for (const fault *f = d->faults; f < d->faults + d->fault_count; f++)
        shift |= f->code == GARBAGE && !strcmp(f->call, call) ? 1u << 31 : 0;
    uint count = (uint)holders(d, graphics, found), most = *room;
    *room = count;
    if (count > most || (count && !out))
        return INSUFFICIENT_SIZE;
    for (uint i = 0; i < count; i++)
        out[i] = (process_info){found[i].pid | shift, found[i].mib < 0 ? ~0ull : (ull)found[i].mib * MIB, ~0u, ~0u};
    return OK;
}

/* --- the library --- */

int nvmlInitWithFlags(uint flags)
{
    (void)flags;
    pthread_mutex_lock(&guard);
    look();
    note("nvmlInitWithFlags", NULL);
    puts("a library that prints");
    fflush(stdout);
    int code = faulty(faults, fault_count, "nvmlInitWithFlags");
    if (!code) {
        strcpy(driver_at_init, driver);
        initialised = 1;
    }
    pthread_mutex_unlock(&guard);
    return code;
}

PLAIN(nvmlShutdown, (void), initialised = 0)
const char *nvmlErrorString(int code) { return code ? "an error of the stand-in" : "Success"; }
PLAIN(nvmlSystemGetDriverVersion, (char *out, uint size), snprintf(out, size, "%s", driver))

PLAIN(nvmlDeviceGetCount_v2, (uint *count), {
    *count = 0;
    for (device *d = devices; d < devices + device_count; d++)
        *count += d->parent < 0;
})

int nvmlDeviceGetHandleByIndex_v2(uint index, void **handle)
{
    pthread_mutex_lock(&guard);
    int code = enter("nvmlDeviceGetHandleByIndex_v2", NULL, NULL);
    device *d = devices;
    while (d < devices + device_count && (d->parent >= 0 || d->index != (int)index))
        d++;
    if (!code && d == devices + device_count)
        code = INVALID_ARGUMENT;
    if (!code && !(code = faulty(d->faults, d->fault_count, "nvmlDeviceGetHandleByIndex_v2")))
        *handle = handle_of(d);
    pthread_mutex_unlock(&guard);
    return code;
}

API(nvmlDeviceGetUUID, (void *h, char *out, uint size), h, snprintf(out, size, "%s", d->uuid))
API(nvmlDeviceGetName, (void *h, char *out, uint size), h, snprintf(out, size, "%s", d->name))
API(nvmlDeviceGetIndex, (void *h, uint *index), h, *index = (uint)d->index)

API(nvmlDeviceGetMemoryInfo, (void *h, memory_v1 *m), h, {
    ull all = (ull)(used(d) + d->reserved);
    *m = (memory_v1){(ull)d->total * MIB, ((ull)d->total - all) * MIB, all * MIB};
})
API(nvmlDeviceGetMemoryInfo_v2, (void *h, memory_v2 *m), h, {
    ull total = (ull)d->total, now = (ull)used(d), kept = (ull)d->reserved;
    *m = (memory_v2){m->version, total * MIB, kept * MIB, (total - now - kept) * MIB, now * MIB};
})

API(nvmlDeviceGetComputeRunningProcesses_v2, (void *h, uint *n, process_info *out), h,
    code = list(__func__, d, 0, n, out))
API(nvmlDeviceGetComputeRunningProcesses_v3, (void *h, uint *n, process_info *out), h,
    code = list(__func__, d, 0, n, out))
API(nvmlDeviceGetGraphicsRunningProcesses_v2, (void *h, uint *n, process_info *out), h,
    code = list(__func__, d, 1, n, out))
API(nvmlDeviceGetGraphicsRunningProcesses_v3, (void *h, uint *n, process_info *out), h,
    code = list(__func__, d, 1, n, out))

API(nvmlDeviceGetUtilizationRates, (void *h, utilization *u), h, {
    if (d->mig == 1 || d->parent >= 0)
        code = NOT_SUPPORTED;
    else
        *u = (utilization){(uint)d->utilisation, 0};
})
API(nvmlDeviceGetTemperature, (void *h, int sensor, uint *t), h, (void)sensor; *t = (uint)d->temperature)
API(nvmlDeviceGetPowerUsage, (void *h, uint *milliwatts), h, *milliwatts = (uint)d->power)
API(nvmlDeviceGetCurrentClocksThrottleReasons, (void *h, ull *reasons), h, *reasons = (ull)d->throttle)
API(nvmlDeviceGetCurrentClocksEventReasons, (void *h, ull *reasons), h, *reasons = (ull)d->throttle)
int nvmlDeviceGetFanSpeed(void *h, uint *speed) { (void)h, (void)speed; abort(); } /* slow: never to be asked */

API(nvmlDeviceGetMigMode, (void *h, uint *now, uint *pending), h, {
    *now = *pending = d->mig == 1;
    code = d->mig ? OK : NOT_SUPPORTED; /* 2: it could, and is not */
})
API(nvmlDeviceGetMaxMigDeviceCount, (void *h, uint *count), h, *count = d->mig == 1 ? 7 : 0)
API(nvmlDeviceGetMigDeviceHandleByIndex, (void *h, uint index, void **handle), h, {
    code = NOT_FOUND;
    for (device *part = devices; part < devices + device_count; part++)
        if (part->parent == d - devices && part->index == (int)index) {
            *handle = handle_of(part);
            code = OK;
        }
})

/* --- events --- */

API(nvmlDeviceGetSupportedEventTypes, (void *h, ull *types), h, *types = XID_CRITICAL)
PLAIN(nvmlEventSetCreate, (void **set), *set = registered)
PLAIN(nvmlEventSetFree, (void *set), (void)set)
API(nvmlDeviceRegisterEvents, (void *h, ull types, void *set), h, {
    (void)types, (void)set;
    strcpy(registered[registered_count++], d->uuid);
    for (device *any = devices; any < devices + device_count; any++)
        for (xid *x = any->xids; x < any->xids + any->xid_count; x++)
            delivered = x->sequence > delivered ? x->sequence : delivered;
})

static int next_event(event_data *out)
{
    device *from = NULL;
    xid *next = NULL;
    for (uint i = 0; i < registered_count; i++) {
        device *d = find(registered[i]);
        for (xid *x = d ? d->xids : NULL; d && x < d->xids + d->xid_count; x++)
            if (x->sequence > delivered && (!next || x->sequence < next->sequence))
                next = x, from = d;
    }
    if (!next)
        return TIMEOUT;
    delivered = next->sequence;
    *out = (event_data){handle_of(from), XID_CRITICAL, next->number, ~0u, ~0u};
    return OK;
}

PLAIN(nvmlEventSetWait_v2, (void *set, event_data *out, uint milliseconds), {
    (void)set, (void)milliseconds;
    code = next_event(out);
})
