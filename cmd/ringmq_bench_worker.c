#include "cmd/ringmq_bench_worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "base/memory.h"

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull

/* A worker that may sleep looks at the phase at least so often. */
#define SLEEP_MAX_NS    (20 * NS_PER_MS)
/* ... and at what other workers have received, which nobody wakes it for. */
#define SLEEP_CREDIT_NS 100000ull

/* A dial is ten system calls: answers are looked at between them. */
#define DIALS_A_TURN 32

#define RECEIVE_BYTES_ALL (64u << 20)
#define RECEIVE_BYTES_MAX (4u << 20)
#define RECEIVE_BYTES_MIN (1u << 20)

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void worker_done(struct bench_worker *worker, enum bench_phase phase)
{
    if (atomic_load_explicit(&worker->lane->done, memory_order_relaxed) < phase) /* the director may have lost its patience */
        atomic_store_explicit(&worker->lane->done, phase, memory_order_release);
}

void worker_fail(struct bench_worker *worker, const char *format, ...)
{
    char text[480];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    shared_fail(worker->shared, worker->number, "%s", text);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* Clients number, number + count, … of `all`. */
static uint32_t share_of(const struct bench_worker *worker, uint32_t all)
{
    return (all + worker->count - 1 - worker->number) / worker->count;
}

static void clients_create(struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    const uint32_t all[ROLES] = {
        [ROLE_BACKGROUND] = plan->background + (plan->shape == BENCH_CONNECT ? plan->subscribers : 0),
        [ROLE_SUBSCRIBER] = plan->shape == BENCH_CONNECT || plan->shape == BENCH_CHURN ? 0 : plan->subscribers,
        [ROLE_PUBLISHER] = plan->publishers,
        [ROLE_PING] = plan->ping_probes,
        [ROLE_CHURN] = plan->shape == BENCH_CHURN ? plan->subscribers : 0};
    for (uint32_t role = 0; role < ROLES; role++)
        worker->role_first[role + 1] = worker->role_first[role] + share_of(worker, all[role]);
    worker->clients_count = worker->role_first[ROLES];
    worker->clients = memory_acquire_zeroed((worker->clients_count + 1) * sizeof *worker->clients);
    for (uint32_t role = 0; role < ROLES; role++)
        for (uint32_t i = worker->role_first[role]; i < worker->role_first[role + 1]; i++) {
            struct bench_client *client = &worker->clients[i];
            client->role = (uint8_t)role;
            client->place = i - worker->role_first[role];
            client->number = worker->number + client->place * worker->count;
            client->keeps = plan->shape == BENCH_BURST && role == ROLE_SUBSCRIBER;
        }
}

/* When to dial the next: as many as may be under way. Short lives begin with the load, not here. */
static uint64_t dial_due_ns(const struct bench_worker *worker)
{
    const struct bench_plan *plan = worker->plan;
    uint32_t parallel = (plan->connect_parallel + worker->count - 1) / worker->count;
    bool may = worker->phase == PHASE_OPEN && worker->next_dial < worker->role_first[ROLE_CHURN] && worker->dialling < parallel;
    if (!may) return UINT64_MAX;
    if (!plan->connect_rate) return 0;
    uint64_t number = (uint64_t)worker->next_dial * worker->count + worker->number;
    return worker->dial_start_ns + (uint64_t)((unsigned __int128)number * NS_PER_S / plan->connect_rate);
}

static void open_turn(struct bench_worker *worker)
{
    uint32_t last = worker->role_first[ROLE_CHURN];
    for (uint32_t dials = 0; dials < DIALS_A_TURN && dial_due_ns(worker) <= worker->shard->now_ns; dials++) {
        if (!bench_client_dial(worker, &worker->clients[worker->next_dial])) return;
        worker->next_dial++;
        worker->dialling++;
    }
    if (atomic_load_explicit(&worker->lane->ready, memory_order_relaxed) == last) worker_done(worker, PHASE_OPEN);
}

/* ---- probes and keep-alive -------------------------------------------------------------------------------------- */

#define PING_EVERY_NS (10 * NS_PER_MS)

static void pings_turn(struct bench_worker *worker)
{
    if (worker->shard->now_ns < worker->next_ping_ns) return;
    for (uint32_t i = worker->role_first[ROLE_PING]; i < worker->role_first[ROLE_PING + 1]; i++) {
        struct bench_client *client = &worker->clients[i];
        if (client->waits) { /* late: counted with the one under way, ping_count() */
            client->life++;
            continue;
        }
        client->waits = true;
        client->life = 0;
        client->since_ns = worker->next_ping_ns;
        bench_client_ping(worker, client);
    }
    worker->next_ping_ns += PING_EVERY_NS;
}

/* Those that were due while this one waited would have waited for the same answer, each from its own time on: without them a broker that stood still for
 * a second would be one late ping among all that came in time. */
void ping_count(struct bench_worker *worker, const struct bench_client *client, uint64_t now_ns)
{
    uint64_t due_ns = client->since_ns;
    for (uint32_t i = 0; i <= client->life; i++, due_ns += PING_EVERY_NS)
        histogram_add(&worker->lane->tally.ping_ns, now_ns > due_ns ? now_ns - due_ns : 0);
}

/* Every client pings at half its keep-alive, spread evenly over that time. */
static void alive_turn(struct bench_worker *worker)
{
    uint32_t last = worker->role_first[ROLE_PING];
    for (; worker->shard->now_ns >= worker->next_alive_ns; worker->next_alive = (worker->next_alive + 1) % last) {
        struct bench_client *client = &worker->clients[worker->next_alive];
        if (client->state == CLIENT_READY && client->conn) bench_client_ping(worker, client);
        worker->next_alive_ns += (uint64_t)worker->plan->keep_alive_s * NS_PER_S / 2 / last;
    }
}

static void pings_start(struct bench_worker *worker)
{
    bool pings = worker->role_first[ROLE_PING] < worker->role_first[ROLE_PING + 1] && worker->phase >= PHASE_WARM;
    bool lives = worker->plan->keep_alive_s && worker->role_first[ROLE_PING] && !worker->plan->relay;
    if (worker->next_ping_ns == UINT64_MAX && pings) worker->next_ping_ns = worker->shard->now_ns;
    if (worker->next_alive_ns == UINT64_MAX && lives) worker->next_alive_ns = worker->shard->now_ns;
}

/* ---- phases ----------------------------------------------------------------------------------------------------- */

static void thread_seconds(double *ret_user, double *ret_system)
{
    struct rusage used;
    getrusage(RUSAGE_THREAD, &used);
    *ret_user = (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec / 1e6;
    *ret_system = (double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec / 1e6;
}

static void measure_start(struct bench_worker *worker)
{
    worker->measuring = true;
    worker->idle_ns = 0;
    worker->busy_since_ns = worker->from_ns = bench_now_ns();
    thread_seconds(&worker->user_before, &worker->system_before);
}

static void measure_end(struct bench_worker *worker)
{
    if (!worker->measuring) return;
    struct bench_tally *tally = &worker->lane->tally;
    worker->measuring = false;
    worker->until_ns = bench_now_ns();
    for (uint32_t i = worker->role_first[ROLE_PING]; i < worker->role_first[ROLE_PING + 1]; i++)
        if (worker->clients[i].waits) ping_count(worker, &worker->clients[i], worker->until_ns);
    tally->idle_ns = worker->idle_ns;
    tally->measured_ns = worker->until_ns - worker->busy_since_ns;
    thread_seconds(&tally->user_seconds, &tally->system_seconds);
    tally->user_seconds -= worker->user_before;
    tally->system_seconds -= worker->system_before;
}

static void phase_enter(struct bench_worker *worker, enum bench_phase phase)
{
    worker->phase = phase;
    worker->publishing = (phase == PHASE_WARM || phase == PHASE_MEASURE) && !plan_stores(worker->plan);
    if (phase != PHASE_MEASURE) measure_end(worker);
    if (phase == PHASE_OPEN) {
        worker->dial_start_ns = bench_now_ns();
        if (worker->role_first[ROLE_CHURN] == 0) worker_done(worker, phase);
    }
    if (phase == PHASE_MEASURE) measure_start(worker);
    if (phase == PHASE_COUNT) {
        if (plan_stores(worker->plan))
            stored_count(worker);
        else
            traffic_count(worker);
        worker_done(worker, phase);
    }
    pings_start(worker);
    if (plan_stores(worker->plan))
        stored_phase(worker, phase);
    else if (phase == PHASE_FILL || phase == PHASE_CLEAN)
        worker_done(worker, phase);
    atomic_store_explicit(&worker->lane->entered, phase, memory_order_release);
}

bool worker_turn(struct shard *shard)
{
    struct bench_worker *worker = worker_of(shard);
    if (shard->stopping) return false;
    if (worker->phase == PHASE_OPEN) open_turn(worker);
    if (worker->publishing || worker->listed_count) traffic_turn(worker);
    if (worker->plan->shape == BENCH_CHURN && (!worker->begun || worker->phase == PHASE_DRAIN) && worker->phase >= PHASE_WARM)
        churn_turn(worker);
    if (worker->next_ping_ns != UINT64_MAX) pings_turn(worker);
    if (worker->next_alive_ns != UINT64_MAX) alive_turn(worker);
    return false;
}

/* ---- the loop --------------------------------------------------------------------------------------------------- */

static uint64_t worker_due_ns(const struct bench_worker *worker)
{
    uint64_t due_ns = traffic_due_ns(worker);
    if (worker->next_ping_ns < due_ns) due_ns = worker->next_ping_ns;
    if (worker->next_alive_ns < due_ns) due_ns = worker->next_alive_ns;
    if (dial_due_ns(worker) < due_ns) due_ns = dial_due_ns(worker);
    if (worker->publishing && !worker->begun && !worker->plan->rate) due_ns = 0;
    return due_ns;
}

/* Looks, without a system call, until something has arrived, is due or the phase is over. A generator that slept would add its
 * own waking to every latency, and its waking up (an interrupt to another core) to the broker's bill. */
static void spin(struct bench_worker *worker)
{
    struct shard *shard = worker->shard;
    uint64_t due_ns = worker_due_ns(worker), start_ns = bench_now_ns(), now_ns = start_ns;
    bool credits = worker->publishing && worker->shared->delivered;
    while (now_ns < due_ns && !shard->group->verbs->ready(shard->ring)) {
        if (atomic_load_explicit(&worker->shared->phase, memory_order_relaxed) != worker->phase || credits) break;
        __builtin_ia32_pause();
        now_ns = bench_now_ns();
    }
    worker->idle_ns += now_ns - start_ns;
}

static void turn_sleeping(struct bench_worker *worker)
{
    bool credits = worker->publishing && worker->shared->delivered;
    uint64_t limit_ns = credits ? SLEEP_CREDIT_NS : SLEEP_MAX_NS, now_ns = bench_now_ns(), due_ns = worker_due_ns(worker);
    uint64_t until_ns = due_ns < now_ns ? 0 : due_ns - now_ns;
    if (until_ns < limit_ns) limit_ns = until_ns;
    if (worker->shard->dirty_count || worker->listed_count) limit_ns = 0;
    shard_turn(worker->shard, limit_ns);
    if (limit_ns) worker->idle_ns += worker->shard->now_ns > now_ns ? worker->shard->now_ns - now_ns : 0;
}

/* Where other workers receive what this one sends for, nothing wakes it but its own looking at what they have: turns that found nothing are idle, too. */
static void turn_spinning(struct bench_worker *worker)
{
    if (!(worker->publishing && worker->shared->delivered)) return shard_turn(worker->shard, 0);
    uint64_t start_ns = bench_now_ns(), before = worker->events;
    shard_turn(worker->shard, 0);
    if (worker->events == before) worker->idle_ns += bench_now_ns() - start_ns;
}

static void worker_loop(struct bench_worker *worker)
{
    for (;;) {
        uint32_t phase = atomic_load_explicit(&worker->shared->phase, memory_order_acquire);
        if (phase == PHASE_END || shared_failed(worker->shared)) return;
        if (phase != worker->phase) phase_enter(worker, (enum bench_phase)phase);
        if (!worker->spins || phase == PHASE_START) {
            turn_sleeping(worker);
            continue;
        }
        if (!worker->shard->dirty_count && !worker->listed_count) spin(worker);
        turn_spinning(worker);
    }
}

static struct settings worker_settings(const struct bench_worker *worker)
{
    uint32_t receive_bytes = RECEIVE_BYTES_ALL / worker->count;
    if (receive_bytes > RECEIVE_BYTES_MAX) receive_bytes = RECEIVE_BYTES_MAX;
    if (receive_bytes < RECEIVE_BYTES_MIN) receive_bytes = RECEIVE_BYTES_MIN;
    /* A client that came back may have its old slot still closing. */
    bool twice = worker->plan->shape == BENCH_CHURN || worker->plan->shape == BENCH_BURST;
    return (struct settings){.node = {.connections_max = worker->clients_count * (twice ? 3 : 1) + 64},
                             .io = {.direct_descriptors = true,
                                    .fd_passing = true,
                                    .message_ring = true,
                                    .incremental_buffers = true,
                                    .receive_bundle = true,
                                    .send_vectorized = true,
                                    .min_wait = true,
                                    .fd_install = true,
                                    .multishot_accept = true,
                                    .multishot_receive = true,
                                    .receive_buffers_bytes = receive_bytes,
                                    .ring_entries = worker->count > 8 ? 1024 : 4096}};
}

void worker_run(struct bench_shared *shared, uint32_t number, const struct shard_group *group, uint32_t shard_number, bool spins)
{
    struct bench_worker worker = {.plan = shared->plan, .shared = shared, .lane = &shared->lanes[number], .number = number,
                                  .count = plan_workers(shared->plan), .fan = plan_fan(shared->plan), .spins = spins,
                                  .next_ping_ns = UINT64_MAX, .next_alive_ns = UINT64_MAX, .from_ns = UINT64_MAX, .until_ns = UINT64_MAX,
                                  .phase = PHASE_START};
    clients_create(&worker);
    struct settings settings = worker_settings(&worker);
    char error[256];
    worker.shard = shard_create(shard_number, group, &settings, NULL, 1 + number, &worker, error, sizeof error);
    if (worker.shard) {
        shard_start(worker.shard);
        traffic_open(&worker);
        worker_done(&worker, PHASE_START);
        worker_loop(&worker);
        shard_stop(worker.shard);
        while (!shard_done(worker.shard))
            shard_turn(worker.shard, NS_PER_MS);
        shard_destroy(worker.shard);
        traffic_close(&worker);
    } else {
        shared_fail(shared, number, "%s", error);
    }
    memory_release(worker.clients);
    endpoint_session_release(worker.session);
    worker_done(&worker, PHASE_END);
}
