/* host_sample.c - host_sample COUNT: with COUNT more processes on the machine,
 * the median time of one sample of the host's process list, beside `ps -e` with
 * the same columns. Prints both in milliseconds. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tabique/error.h"
#include "tabique/host.h"

#define ROUNDS 9

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    double ours[ROUNDS], theirs[ROUNDS];
    struct sampler_options options = {.cgroup_prefix = "tabique/", .interval_ns = 1, .connector = false};
    struct sampler *sampler;
    struct error err = ERROR_INIT;
    int count = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;
    pid_t *pids = calloc((size_t)count + 1, sizeof(*pids));

    for (int i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pause();
            _exit(0);
        }
    }
    if (sampler_new(&options, &sampler, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct process_list *list = NULL;
        int64_t start = clock_mono_ns();
        if (sampler_snapshot(sampler, 0, &list, &err) < 0)
            return 1;
        ours[i] = (double)(clock_mono_ns() - start) / 1e6;
        process_list_unref(list);
        start = clock_mono_ns();
        pid_t ps = fork();
        if (ps == 0) {
            int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
            dup2(null, 1);
            execlp("ps", "ps", "-eo", "pid,ppid,user,comm,args,state,nlwp,time,rss,lstart,cgroup", (char *)NULL);
            _exit(127);
        }
        waitpid(ps, NULL, 0);
        theirs[i] = (double)(clock_mono_ns() - start) / 1e6;
    }
    for (int i = 0; i < count; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    sampler_free(sampler);
    free(pids);
    qsort(ours, ROUNDS, sizeof(double), compare);
    qsort(theirs, ROUNDS, sizeof(double), compare);
    printf("%.3f %.3f\n", ours[ROUNDS / 2], theirs[ROUNDS / 2]);
    return 0;
}
