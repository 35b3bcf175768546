#include "cmd/ringmq_bench_run.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "cmd/ringmq_bench_version.h"
#include "cmd/ringmq_bench_worker.h"
#include "engine/listener.h"

/* How long nothing at all may happen. */
#define OPEN_PATIENCE_S  15
#define FILL_PATIENCE_S  30
#define DRAIN_PATIENCE_S 5
#define CLEAN_PATIENCE_S 10
#define MESH_CELLS       512 /* workers send each other nothing: the smallest lanes */

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number) { interrupted = 1; }

/* ---- workers ---------------------------------------------------------------------------------------------------- */

struct bench_thread {
    struct bench_shared *shared;
    const struct shard_group *group;
    uint32_t number, shard_number;
    bool spins;
    pthread_t thread;
};

static void pin(const struct bench_plan *plan, uint32_t number)
{
    if (plan->core == UINT32_MAX) return;
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(plan->core + number, &mask);
    sched_setaffinity(0, sizeof mask, &mask); /* a core that does not exist: anywhere */
}

static void *thread_main(void *argument)
{
    struct bench_thread *mine = argument;
    pthread_setname_np(pthread_self(), "bench");
    pin(mine->shared->plan, mine->number);
    worker_run(mine->shared, mine->number, mine->group, mine->shard_number, mine->spins);
    return NULL;
}

struct bench_process {
    struct bench_thread *threads;
    struct shard_group group;
    struct listener listener;
    struct listener_settings no_limit;
    struct qsbr qsbr;
};

static struct bench_process *process_start(struct bench_shared *shared, uint32_t process, bool spins)
{
    uint32_t count = shared->plan->threads;
    struct bench_process *started = memory_acquire_aligned(64, sizeof *started);
    started->no_limit.name = "bench";
    started->listener.settings = &started->no_limit;
    qsbr_init(&started->qsbr, count);
    started->group = (struct shard_group){.shards_count = count,
                                          .verbs = &kernel_uring,
                                          .handler = &bench_client_handler,
                                          .mesh = mesh_create(count, MESH_CELLS),
                                          .qsbr = &started->qsbr,
                                          .listeners = &started->listener};
    started->threads = memory_acquire_zeroed(count * sizeof *started->threads);
    for (uint32_t t = 0; t < count; t++) {
        struct bench_thread *thread = &started->threads[t];
        *thread = (struct bench_thread){
            .shared = shared, .group = &started->group, .number = process * count + t, .shard_number = t, .spins = spins};
        CHECK(pthread_create(&thread->thread, NULL, thread_main, thread) == 0);
    }
    return started;
}

static void process_join(struct bench_process *started)
{
    for (uint32_t t = 0; t < started->group.shards_count; t++)
        pthread_join(started->threads[t].thread, NULL);
    mesh_destroy(started->group.mesh);
    memory_release(started->threads);
    memory_release(started);
}

struct bench_fleet {
    struct bench_process *here; /* the only process is this one */
    pid_t *children;
    uint32_t children_count;
};

static void fleet_start(struct bench_fleet *fleet, struct bench_shared *shared, bool spins)
{
    const struct bench_plan *plan = shared->plan;
    if (plan->processes == 1) {
        fleet->here = process_start(shared, 0, spins);
        return;
    }
    fleet->children = memory_acquire(plan->processes * sizeof *fleet->children);
    for (uint32_t p = 0; p < plan->processes; p++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            signal(SIGINT, SIG_IGN); /* the director hears it */
            process_join(process_start(shared, p, spins));
            _exit(0);
        }
        fleet->children[fleet->children_count++] = child;
    }
}

/* A child that has died cannot say so. */
static void fleet_watch(struct bench_fleet *fleet, struct bench_shared *shared)
{
    for (uint32_t i = 0; i < fleet->children_count; i++) {
        int status;
        if (!fleet->children[i] || waitpid(fleet->children[i], &status, WNOHANG) != fleet->children[i]) continue;
        fleet->children[i] = 0;
        shared_fail(shared, i * shared->plan->threads, "process %u of the generator ended unexpectedly (status %d)", i, status);
    }
}

static void fleet_join(struct bench_fleet *fleet)
{
    if (fleet->here) process_join(fleet->here);
    for (uint32_t i = 0; i < fleet->children_count; i++)
        if (fleet->children[i]) waitpid(fleet->children[i], NULL, 0);
    memory_release(fleet->children);
}

/* ---- adding up while it runs ------------------------------------------------------------------------------------ */

struct bench_totals {
    uint64_t connected, ready, expected, arrived, acked, rounds;
};

static struct bench_totals totals(const struct bench_shared *shared)
{
    struct bench_totals all = {0};
    for (uint32_t w = 0; w < plan_workers(shared->plan); w++) {
        const struct bench_lane *lane = &shared->lanes[w];
        all.connected += atomic_load_explicit(&lane->connected, memory_order_relaxed);
        all.ready += atomic_load_explicit(&lane->ready, memory_order_relaxed);
        all.arrived += atomic_load_explicit(&lane->arrived, memory_order_relaxed);
        all.expected += atomic_load_explicit(&lane->expected, memory_order_relaxed);
        all.acked += atomic_load_explicit(&lane->acked, memory_order_relaxed);
        all.rounds += atomic_load_explicit(&lane->rounds, memory_order_relaxed);
    }
    return all;
}

static bool all_done(const struct bench_shared *shared, enum bench_phase phase)
{
    for (uint32_t w = 0; w < plan_workers(shared->plan); w++)
        if (atomic_load_explicit(&shared->lanes[w].done, memory_order_acquire) < phase) return false;
    return true;
}

/* Workers have stopped publishing: has all that was published come? */
static bool all_arrived(const struct bench_shared *shared)
{
    enum bench_shape shape = shared->plan->shape;
    if (shape == BENCH_RETAIN || shape == BENCH_CHURN) return false; /* they say so themselves */
    struct bench_totals now = totals(shared);
    return now.arrived >= now.expected;
}

struct director {
    struct bench_shared *shared;
    struct bench_result *result;
    struct bench_fleet fleet;
    struct bench_totals shown;
    uint64_t shown_ns;
};

#define PROGRESS_NS 500000000ull

static void progress(struct director *director, const char *what, bool last)
{
    const struct bench_plan *plan = director->shared->plan;
    uint64_t now_ns = bench_now_ns();
    if (!plan->progress || (!last && now_ns - director->shown_ns < PROGRESS_NS)) return;
    struct bench_totals now = totals(director->shared);
    double seconds = (double)(now_ns - director->shown_ns) / 1e9;
    double rate = director->shown_ns ? (double)(now.arrived + now.acked + now.rounds - director->shown.arrived -
                                                director->shown.acked - director->shown.rounds) /
                                           seconds
                                     : 0;
    fprintf(stderr, "\r%-12s %lu connections, %lu of %lu deliveries, %.0f/s   %s", what, now.ready, now.arrived, now.expected,
            rate, last ? "\r\x1b[K" : "");
    fflush(stderr);
    director->shown = now;
    director->shown_ns = now_ns;
}

/* At 1000, 2000, 5000, 10,000 … connections and at the end. */
static void memory_look(struct director *director, bool last)
{
    struct bench_result *result = director->result;
    if (!director->shared->plan->broker_pid || result->samples_count == MEMORY_SAMPLES_MAX) return;
    uint64_t now = totals(director->shared).ready, next = 0;
    if (result->samples_count) {
        static const uint64_t steps[3] = {1, 2, 5};
        uint64_t before = result->samples[result->samples_count - 1].connections;
        for (uint64_t decade = 100; !next; decade *= 10)
            for (int i = 0; i < 3 && !next; i++)
                if (decade * steps[i] > before) next = decade * steps[i];
    }
    if (now < next && !last) return;
    if (last && result->samples_count && result->samples[result->samples_count - 1].connections == now) return;
    result->samples[result->samples_count++] =
        (struct memory_sample){now, process_usage(director->shared->plan->broker_pid).private_bytes};
}

/* ---- phases ----------------------------------------------------------------------------------------------------- */

static const char *const phase_names[] = {
    [PHASE_START] = "starting",  [PHASE_OPEN] = "connecting",   [PHASE_FILL] = "storing",
    [PHASE_WARM] = "warming up", [PHASE_MEASURE] = "measuring", [PHASE_DRAIN] = "draining",
    [PHASE_COUNT] = "counting",  [PHASE_CLEAN] = "cleaning",    [PHASE_END] = "closing"};

static void rest(uint64_t ns)
{
    struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    nanosleep(&time, NULL);
}

static bool all_entered(const struct bench_shared *shared, enum bench_phase phase)
{
    for (uint32_t w = 0; w < plan_workers(shared->plan); w++)
        if (atomic_load_explicit(&shared->lanes[w].entered, memory_order_acquire) < phase) return false;
    return true;
}

/* Returns when every worker has heard it: those that sleep take a moment. */
static void phase_set(struct director *director, enum bench_phase phase)
{
    struct bench_shared *shared = director->shared;
    if (phase == PHASE_WARM) shared->start_ns = bench_now_ns();
    atomic_store_explicit(&shared->phase, phase, memory_order_release);
    for (int tries = 0; tries < 50000 && phase != PHASE_END && !all_entered(shared, phase) && !shared_failed(shared); tries++) {
        rest(100000);
        fleet_watch(&director->fleet, shared);
    }
}

static bool totals_same(const struct bench_totals *a, const struct bench_totals *b) { return memcmp(a, b, sizeof *a) == 0; }

/* Until all workers are done with it; false: failed, interrupted, or nothing has happened for `patience_s`. */
static bool phase_wait(struct director *director, enum bench_phase phase, uint32_t patience_s)
{
    struct bench_shared *shared = director->shared;
    struct bench_totals before = totals(shared);
    uint64_t changed_ns = bench_now_ns();
    while (!all_done(shared, phase)) {
        rest(1000000);
        fleet_watch(&director->fleet, shared);
        if (shared_failed(shared) || (interrupted && phase < PHASE_DRAIN)) return false;
        struct bench_totals now = totals(shared);
        if (!totals_same(&now, &before)) changed_ns = bench_now_ns();
        if (phase == PHASE_OPEN && !totals_same(&now, &before)) memory_look(director, false);
        if (phase == PHASE_DRAIN && all_arrived(shared)) return true;
        before = now;
        if (bench_now_ns() - changed_ns > patience_s * 1000000000ull) return false;
        progress(director, phase_names[phase], false);
    }
    return true;
}

static bool phase_run(struct director *director, enum bench_phase phase, uint32_t patience_s)
{
    phase_set(director, phase);
    return phase_wait(director, phase, patience_s);
}

/* A phase of a fixed length. */
static void phase_last(struct director *director, enum bench_phase phase, double seconds)
{
    phase_set(director, phase);
    uint64_t end_ns = bench_now_ns() + (uint64_t)(seconds * 1e9), now_ns;
    while ((now_ns = bench_now_ns()) < end_ns && !shared_failed(director->shared) && !interrupted) {
        uint64_t step_ns = 100000000; /* to notice what has failed; a director on the generator's core disturbs it little */
        rest(end_ns - now_ns < step_ns ? end_ns - now_ns : step_ns);
        fleet_watch(&director->fleet, director->shared);
        progress(director, phase_names[phase], false);
    }
}

static bool open_all(struct director *director)
{
    struct bench_shared *shared = director->shared;
    struct bench_result *result = director->result;
    uint64_t start_ns = bench_now_ns();
    double cpu = process_usage(shared->plan->broker_pid).cpu_seconds;
    memory_look(director, true);
    uint32_t patience_s = OPEN_PATIENCE_S + (shared->plan->connect_rate ? 2 / shared->plan->connect_rate + 1 : 0);
    bool opened = phase_run(director, PHASE_OPEN, patience_s);
    result->connect_seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    result->connect_broker_cpu_seconds = process_usage(shared->plan->broker_pid).cpu_seconds - cpu;
    result->connections = totals(shared).ready;
    memory_look(director, true);
    if (!opened && !shared_failed(shared))
        shared_fail(shared, 0,
                    interrupted ? "interrupted while connecting (%lu are)"
                                : "no answer to CONNECT or SUBSCRIBE for a while: %lu clients are ready",
                    result->connections);
    return opened;
}

static void measure(struct director *director)
{
    struct bench_shared *shared = director->shared;
    struct bench_result *result = director->result;
    const struct bench_plan *plan = shared->plan;
    bool burst = plan->shape == BENCH_BURST;
    if (!burst) phase_last(director, PHASE_WARM, plan->warm_up_seconds);
    struct process_usage before = process_usage(plan->broker_pid);
    uint64_t start_ns = bench_now_ns();
    if (burst)
        phase_run(director, PHASE_MEASURE, DRAIN_PATIENCE_S);
    else
        phase_last(director, PHASE_MEASURE, plan->seconds);
    result->seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    result->broker = process_usage_since(plan->broker_pid, &before);
    result->interrupted = interrupted;
    interrupted = 0;
    phase_run(director, PHASE_DRAIN, DRAIN_PATIENCE_S);
    phase_run(director, PHASE_COUNT, DRAIN_PATIENCE_S);
}

static void run_phases(struct director *director)
{
    struct bench_shared *shared = director->shared;
    const struct bench_plan *plan = shared->plan;
    if (!phase_wait(director, PHASE_START, OPEN_PATIENCE_S)) return;
    if (!open_all(director)) return;
    if (plan_stores(plan)) {
        uint64_t start_ns = bench_now_ns();
        if (!phase_run(director, PHASE_FILL, FILL_PATIENCE_S))
            return shared_fail(shared, 0, "the broker stopped acknowledging while messages were stored (%lu of them are)",
                               totals(shared).acked);
        director->result->fill_seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    }
    measure(director);
    if (plan_stores(plan) && !shared_failed(shared))
        director->result->stored_left = !phase_run(director, PHASE_CLEAN, CLEAN_PATIENCE_S);
}

/* ---- the result ------------------------------------------------------------------------------------------------- */

static void tally_add(struct bench_tally *all, const struct bench_tally *one)
{
    all->sent += one->sent;
    all->received += one->received;
    all->bytes_received += one->bytes_received;
    all->missing += one->missing;
    all->duplicated += one->duplicated;
    all->disordered += one->disordered;
    all->unsent += one->unsent;
    all->rounds += one->rounds;
    all->resumed += one->resumed;
    all->idle_ns += one->idle_ns;
    all->measured_ns += one->measured_ns;
    all->user_seconds += one->user_seconds;
    all->system_seconds += one->system_seconds;
    histogram_merge(&all->latency_ns, &one->latency_ns);
    histogram_merge(&all->round_ns, &one->round_ns);
    histogram_merge(&all->connect_ns, &one->connect_ns);
    histogram_merge(&all->late_ns, &one->late_ns);
    histogram_merge(&all->ping_ns, &one->ping_ns);
}

static void add_up(struct director *director)
{
    struct bench_shared *shared = director->shared;
    struct bench_result *result = director->result;
    for (uint32_t w = 0; w < plan_workers(shared->plan); w++) {
        const struct bench_tally *tally = &shared->lanes[w].tally;
        double busy = tally->measured_ns ? 1 - (double)tally->idle_ns / (double)tally->measured_ns : 0;
        if (busy > result->busy_most) result->busy_most = busy;
        tally_add(&result->all, tally);
    }
    result->lost = result->all.missing > 0 ? (uint64_t)result->all.missing : 0;
    uint32_t first = 0, last = result->samples_count ? result->samples_count - 1 : 0;
    while (first < last && result->samples[first].connections * 20 < result->samples[last].connections &&
           result->samples[first].connections < 1000)
        first++;
    if (first < last)
        result->rss_bytes_per_connection =
            ((double)result->samples[last].private_bytes - (double)result->samples[first].private_bytes) /
            (double)(result->samples[last].connections - result->samples[first].connections);
}

/* ---- a run ------------------------------------------------------------------------------------------------------ */

static bool resolve_unix(struct bench_plan *plan, char *ret_error, uint32_t error_bytes)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&plan->address;
    if (strlen(plan->endpoint->host) >= sizeof address->sun_path)
        return snprintf(ret_error, error_bytes, "%s: the path is longer than 107 bytes", plan->endpoint->host), false;
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path, plan->endpoint->host);
    plan->address_bytes = sizeof *address;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answered = fd >= 0 && connect(fd, (struct sockaddr *)address, sizeof *address) == 0;
    if (!answered) snprintf(ret_error, error_bytes, "cannot connect to %s: %s", plan->endpoint->name, strerror(errno));
    if (fd >= 0) close(fd);
    return answered;
}

static bool resolve(struct bench_plan *plan, char *ret_error, uint32_t error_bytes)
{
    if (plan->endpoint->kind == ENDPOINT_UNIX) return resolve_unix(plan, ret_error, error_bytes);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    char port[8];
    snprintf(port, sizeof port, "%u", plan->endpoint->port);
    int failed = getaddrinfo(plan->endpoint->host, port, &hints, &found);
    if (failed) return snprintf(ret_error, error_bytes, "%s: %s", plan->endpoint->host, gai_strerror(failed)), false;
    bool answered = false;
    for (const struct addrinfo *one = found; one && !answered; one = one->ai_next) { /* "localhost" is two addresses */
        int fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        answered = fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) == 0;
        if (!answered) snprintf(ret_error, error_bytes, "cannot connect to %s: %s", plan->endpoint->name, strerror(errno));
        if (fd >= 0) close(fd);
        memcpy(&plan->address, one->ai_addr, one->ai_addrlen);
        plan->address_bytes = one->ai_addrlen;
    }
    freeaddrinfo(found);
    return answered;
}

/* A ring's table has at most as many places as a process may have descriptors. */
static bool limits_fit(const struct bench_plan *plan, char *ret_error, uint32_t error_bytes)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    uint64_t clients = (uint64_t)plan->publishers + plan->subscribers + plan->background + plan->ping_probes,
             places = limit.rlim_cur - 128;
    uint64_t each = (clients + plan_workers(plan) - 1) / plan_workers(plan);
    if (each <= places) return true;
    snprintf(ret_error, error_bytes, "%lu connections are too many for %u ring%s of %lu each (ulimit -n): --threads %lu",
             clients, plan_workers(plan), plan_workers(plan) > 1 ? "s" : "", places, (clients + places - 1) / places);
    return false;
}

/* Spinning needs a core for each worker. */
static bool may_spin(const struct bench_plan *plan)
{
    cpu_set_t mask;
    bool known = sched_getaffinity(0, sizeof mask, &mask) == 0;
    return !plan->sleeps && known && plan_workers(plan) <= (uint32_t)CPU_COUNT(&mask);
}

bool bench_run(struct bench_plan *plan, struct bench_result *ret_result, char *ret_error, uint32_t error_bytes)
{
    if (plan->broker_pid && !process_exists(plan->broker_pid))
        return snprintf(ret_error, error_bytes, "there is no process %u to measure (--broker-pid)", plan->broker_pid), false;
    if (!limits_fit(plan, ret_error, error_bytes) || !resolve(plan, ret_error, error_bytes)) return false;
    uint32_t run;
    log_configure(LOG_OFF, LOG_TEXT); /* what the engine would say of a connection the result says */
    CHECK(getrandom(&run, sizeof run, 0) == sizeof run);
    snprintf(plan->run, sizeof plan->run, "%08x", run);
    host_kernel(ret_result->kernel, sizeof ret_result->kernel);
    process_program(plan->broker_pid, ret_result->broker_program, sizeof ret_result->broker_program);
    if (!plan->relay) broker_version(plan, ret_result->broker_version, sizeof ret_result->broker_version);

    struct bench_shared *shared = shared_create(plan);
    struct director director = {.shared = shared, .result = ret_result};
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND}, before;
    sigaction(SIGINT, &action, &before);
    fleet_start(&director.fleet, shared, may_spin(plan));
    run_phases(&director);
    add_up(&director);
    progress(&director, "closing", true);
    phase_set(&director, PHASE_END);
    fleet_join(&director.fleet);
    sigaction(SIGINT, &before, NULL);
    snprintf(ret_result->congestion, sizeof ret_result->congestion, "%s", shared->congestion);
    snprintf(ret_result->tls, sizeof ret_result->tls, "%s", shared->tls);
    if (!ret_result->congestion[0]) host_congestion(ret_result->congestion, sizeof ret_result->congestion);
    bool failed = shared_failed(shared);
    if (failed) snprintf(ret_error, error_bytes, "%s", shared->failure);
    shared_destroy(shared);
    return !failed;
}
