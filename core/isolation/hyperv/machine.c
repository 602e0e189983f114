/* machine.c - see machine.h. Each argument that surprises has its reason here. */
#include "isolation/hyperv/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define PLACEHOLDER_SIZE "1099511627776" /* larger than any real disk: a clone's may only be smaller */

/* Grace periods that do not wait for a tick: a start has about ten of them. Nothing
 * watches for lock-ups, which under load would be the host's. */
#define GUEST_OPTIONS "rcupdate.rcu_expedited=1 nowatchdog audit=0 deferred_probe_timeout=0"
/* What a real processor does in passing and tcg instruction by instruction: fences against
 * speculation, which translated code has of its own kind or not at all, zeroing on
 * allocation, checks of copies, hooks of security modules that have no policy; and filters
 * compiled by the guest, which tcg would have to translate again for each start. This wall
 * is no security boundary (ADR 8), and behind it stands one container alone: what it is
 * stalled by, its share of the processors, and the kernel's memory for it nobody else bears. */
#define TCG_OPTIONS "mitigations=off init_on_alloc=0 hardened_usercopy=off lsm=landlock,yama sysctl.net.core.bpf_jit_enable=0 " \
                    "psi=0 noautogroup cgroup.memory=nokmem,nosocket"

/* Under tcg the guest's TSC calibration hangs in about every second cold boot:
 * it is told the host's frequency instead. */
static unsigned long tsc_khz(void)
{
    CLEANUP_FREE char *text = NULL;
    const char *at;
    double mhz = 0;

    if (file_read(AT_FDCWD, "/proc/cpuinfo", 1 << 20, &text, NULL) >= 0 &&
        (at = strstr(text, "cpu MHz")) && (at = strchr(at, ':')))
        (void)sscanf(at + 1, "%lf", &mhz);
    return mhz > 100 ? (unsigned long)(mhz * 1000) : 2000000;
}

static void add(char ***list, const char *option, char *value)
{
    strv_push(list, option);
    strv_take(list, value);
}

static void add_disk(char ***list, const char *node, int fd, bool readonly)
{
    if (fd < 0) {
        add(list, "-blockdev", mem_printf("driver=null-co,node-name=%s-file,size=" PLACEHOLDER_SIZE ",read-zeroes=on", node));
    } else {
        add(list, "-add-fd", mem_printf("fd=%d,set=%d", fd, fd));
        /* A flush would only slow down what dies with the container. */
        add(list, "-blockdev", mem_printf("driver=file,node-name=%s-file,filename=/dev/fdset/%d,locking=off,"
                                          "cache.no-flush=on,discard=unmap,read-only=%s", node, fd, readonly ? "on" : "off"));
    }
    /* A full host disk is an error to the guest, as a broken disk; by default the
     * machine would stop and wait for somebody to make room. */
    add(list, "-blockdev", mem_printf("driver=raw,node-name=%s,file=%s-file,discard=unmap,read-only=%s", node, node,
                                      readonly ? "on" : "off"));
    add(list, "-device", mem_printf("virtio-blk-device,drive=%s,id=disk-%s,werror=report,rerror=report", node, node));
}

char **machine_arguments(const struct machine *machine)
{
    char **list = NULL;

    strv_push(&list, "vmwp");
    strv_push(&list, "-nodefaults");
    strv_push(&list, "-no-user-config");
    strv_push(&list, "-no-reboot");
    add(&list, "-display", mem_strdup("none"));
    add(&list, "-name", mem_printf("guest=%s,process=vmwp", machine->id));
    add(&list, "-machine", mem_printf("microvm,accel=%s,memory-backend=m0,isa-serial=off,rtc=on,pit=off,pic=off", machine->accelerator));
    add(&list, "-cpu", mem_strdup(machine->cpu));
    add(&list, "-smp", mem_printf("%d", machine->cpus));
    add(&list, "-m", mem_printf("%llu", (unsigned long long)(machine->memory_bytes >> 20)));
    add(&list, "-object", mem_printf("memory-backend-file,id=m0,size=%llu,mem-path=/proc/self/fd/%d,share=%s",
                                     (unsigned long long)machine->memory_bytes, machine->memory_fd,
                                     machine->shared_memory ? "on" : "off"));
    add(&list, "-global", mem_strdup("virtio-mmio.force-legacy=false"));
    add(&list, "-sandbox", mem_strdup("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
    add(&list, "-chardev", mem_printf("socket,id=qmp,fd=%d", machine->qmp_fd));
    add(&list, "-mon", mem_strdup("chardev=qmp,mode=control"));

    add_disk(&list, "image", machine->image_fd, true);
    add_disk(&list, "scratch", machine->scratch_fd, false);
    /* A hub, to which a tap is joined and from which it goes while the machine runs; one
     * without is the placeholder a clone restores from. */
    for (int i = 0; i < MACHINE_NICS; i++) {
        add(&list, "-netdev", mem_printf("hubport,id=n%d,hubid=%d", i, i));
        if (machine->tap_fds[i] >= 0) {
            add(&list, "-netdev", mem_printf("tap,id=t%d,fd=%d,vhost=off", i, machine->tap_fds[i]));
            add(&list, "-netdev", mem_printf("hubport,id=p%d,hubid=%d,netdev=t%d", i, i, i));
        }
        add(&list, "-device", mem_printf("virtio-net-device,netdev=n%d,id=net%d,mac=02:00:00:00:00:%02x", i, i, i + 1));
    }
    add(&list, "-device", mem_strdup("virtio-serial-device,id=serial0,max_ports=8"));
    add(&list, "-chardev", mem_printf("socket,id=console,fd=%d", machine->console_fd));
    add(&list, "-device", mem_strdup("virtconsole,chardev=console,nr=0"));
    add(&list, "-chardev", mem_printf("socket,id=agent,fd=%d", machine->agent_fd));
    add(&list, "-device", mem_strdup("virtserialport,chardev=agent,name=tabique.agent,nr=1"));
    add(&list, "-chardev", mem_printf("socket,id=files,fd=%d", machine->files_fd));
    add(&list, "-device", mem_strdup("virtserialport,chardev=files,name=tabique.files,nr=2"));

    if (machine->boot) {
        CLEANUP_FREE char *tcg = str_equal(machine->accelerator, "tcg")
                                     ? mem_printf(" " TCG_OPTIONS " tsc_early_khz=%lu tsc=reliable", tsc_khz())
                                     : mem_strdup("");
        add(&list, "-kernel", mem_strdup(machine->kernel));
        add(&list, "-initrd", mem_strdup(machine->initrd));
        add(&list, "-append", mem_printf("console=hvc0 quiet reboot=t panic=-1 " GUEST_OPTIONS "%s", tcg));
    } else {
        add(&list, "-incoming", mem_strdup("defer"));
    }
    return list;
}
