/* The console: ncurses. One thread: a look at the broker, then keys until the next is due. */
#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_top.h"

#define EVENTS_MAX 200

struct screen {
    struct top *top;
    uint32_t chosen, first; /* rows of the list */
    enum top_view view;     /* which list */
    struct top_event events[EVENTS_MAX]; /* of the other views */
    uint32_t events_count;
    bool paused, helping;
    char chosen_id[1024];   /* stays chosen while rows move */
    char note[256];         /* what the last key did */
};

static const char help[] = "q quit  space pause  v clients/slow/drops  s next order  r reverse  / filter  up,down choose  k kick  h help";

static void put_header(struct screen *screen)
{
    const struct top_sample *now = &screen->top->now;
    const struct top *top = screen->top;
    char node[128];
    const char *name = json_string_value(json_object_get(now->node, "node"));
    top_printable(name ? name : "", 40, node, sizeof node);
    long long up = json_integer_value(json_object_get(now->node, "uptime_s"));
    attron(A_BOLD);
    mvprintw(0, 0, "ringmq %s  up %lldd %02lld:%02lld:%02lld%s", node, up / 86400, up / 3600 % 24, up / 60 % 60, up % 60, screen->paused ? "  PAUSED" : "");
    attroff(A_BOLD);
    mvprintw(1, 0, "clients %s  sessions %s  subs %s  connects %s/s  retained %s", top_number((double)top_counter(top, "connections")), top_number((double)top_counter(top, "sessions")),
             top_number((double)top_counter(top, "subscriptions")), top_number(now->connects), top_number((double)top_counter(top, "retained_messages")));
    mvprintw(2, 0, "messages in %s/s out %s/s  bytes in %s/s out %s/s  dropped %s/s", top_number(now->in), top_number(now->out), top_bytes(now->in_bytes), top_bytes(now->out_bytes), top_number(now->drops));
    mvprintw(3, 0, "publish to send p50 %s p99 %s  turn p50 %s p99 %s", top_seconds(now->send_p50), top_seconds(now->send_p99), top_seconds(now->turn_p50), top_seconds(now->turn_p99));
    mvprintw(4, 0, "memory %s: pools %s, messages %s, of them queued %s, retained %s", top_bytes((double)json_integer_value(json_object_get(now->node, "memory_bytes"))),
             top_bytes((double)top_counter(top, "pool_bytes")), top_bytes((double)top_counter(top, "message_bytes")), top_bytes((double)top_counter(top, "queued_bytes")),
             top_bytes((double)top_counter(top, "retained_bytes")));
}

static int put_shards(const struct top_sample *now, int line)
{
    attron(A_REVERSE);
    mvprintw(line++, 0, "%5s %6s %9s %8s %7s %9s %6s %9s %8s %8s %8s", "SHARD", "CPU%", "TURNS/S", "TURN", "BATCH", "LANE/S", "FILL%", "LANEFULL", "CONNS", "SESSIONS", "QUEUED");
    attroff(A_REVERSE);
    int most = (LINES - line) / 3; /* many shards leave room for clients */
    for (uint32_t i = 0; i < now->shards_count && (int)i < most; i++) {
        const struct top_shard *shard = &now->shards[i];
        mvprintw(line++, 0, "%5u %6.1f %9s %8s %7.1f %9s %6.1f %9s %8s %8s %8s", shard->number, shard->cpu_percent, top_number(shard->turns), top_seconds(shard->turn_us / 1e6), shard->batch,
                 top_number(shard->lane_records), shard->lane_fill, top_number((double)shard->lane_overflows), top_number((double)shard->connections), top_number((double)shard->sessions),
                 top_number((double)shard->queued));
    }
    return line;
}

static int put_drops(const struct top_sample *now, int line)
{
    if (now->dropped_count == 0) return line;
    mvprintw(line, 0, "lost:");
    for (uint32_t i = 0; i < now->dropped_count && getcurx(stdscr) < COLS - 30; i++)
        printw(" %s %s (%s/s)", now->dropped[i].name, top_number((double)now->dropped[i].count), top_number(now->dropped[i].rate));
    return line + 1;
}

/* How many rows the list has, and the client of one of them. */
static uint32_t rows_count(const struct screen *screen) { return screen->view == TOP_CLIENTS ? screen->top->now.list_count : screen->events_count; }
static const char *row_client(const struct screen *screen, uint32_t row)
{
    return screen->view == TOP_CLIENTS ? screen->top->now.list[row].id : screen->events[row].client_id;
}

/* Which rows fit on so many lines, the chosen one among them. */
static void scroll_to_chosen(struct screen *screen, uint32_t lines)
{
    uint32_t count = rows_count(screen);
    if (screen->chosen >= count) screen->chosen = count ? count - 1 : 0;
    if (screen->chosen < screen->first) screen->first = screen->chosen;
    if (lines && screen->chosen >= screen->first + lines) screen->first = screen->chosen - lines + 1;
}

static uint32_t lines_left(int line) { return LINES - 2 > line ? (uint32_t)(LINES - 2 - line) : 0; }

static void put_events(struct screen *screen, int line)
{
    const char *why;
    char id[512], topic[1024];
    bool slow = screen->view == TOP_SLOW;
    int id_columns = COLS > 110 ? 40 : 24, topic_columns = COLS - id_columns - 40;
    screen->events_count = top_events(screen->top, screen->view, screen->events, EVENTS_MAX, &why);
    attron(A_REVERSE);
    mvprintw(line++, 0, "%-12s %-22s %-*s %-*s", "AT", slow ? "WAITED" : "REASON", id_columns, "CLIENT", topic_columns > 0 ? topic_columns : 0, "TOPIC");
    attroff(A_REVERSE);
    uint32_t lines = lines_left(line);
    scroll_to_chosen(screen, lines);
    if (!screen->events_count && lines) mvprintw(line, 0, "%.*s", COLS - 1, why);
    for (uint32_t i = screen->first; i < screen->events_count && i < screen->first + lines; i++, line++) {
        const struct top_event *event = &screen->events[i];
        top_printable(event->client_id, (uint32_t)id_columns, id, sizeof id);
        top_printable(event->topic, topic_columns > 0 ? (uint32_t)topic_columns : 0, topic, sizeof topic);
        if (i == screen->chosen) attron(A_STANDOUT);
        mvprintw(line, 0, "%-12.12s %-22.22s ", strlen(event->at) > 11 ? event->at + 11 : event->at, slow ? top_seconds((double)event->waited_ms / 1000) : event->reason);
        printw("%s", id);
        mvprintw(line, 36 + id_columns, " %s", topic);
        attroff(A_STANDOUT);
    }
}

static void put_clients(struct screen *screen, int line)
{
    const struct top *top = screen->top;
    const struct top_sample *now = &top->now;
    char id[512];
    int id_columns = COLS > 110 ? COLS - 78 : 32;
    attron(A_REVERSE);
    mvprintw(line++, 0, "%-*s %8s %8s %9s %8s %9s %8s %6s %s", id_columns, "CLIENT", "IN/S", "OUT/S", "IN B/S", "QUEUE", "BYTES", "INFLIGHT", "SUBS", "STATE");
    attroff(A_REVERSE);
    uint32_t rows = lines_left(line);
    for (uint32_t i = 0; i < now->list_count; i++)
        if (strcmp(now->list[i].id, screen->chosen_id) == 0) screen->chosen = i;
    scroll_to_chosen(screen, rows);
    for (uint32_t i = screen->first; i < now->list_count && i < screen->first + rows; i++) {
        const struct top_client *client = &now->list[i];
        top_printable(client->id, (uint32_t)id_columns, id, sizeof id);
        if (i == screen->chosen) attron(A_STANDOUT);
        mvprintw(line, 0, "%s", id);
        mvprintw(line, id_columns, " %8s %8s %9s %8s %9s %8s %6s %s", top_number(client->in), top_number(client->out), top_bytes(client->in_bytes), top_number((double)client->queue),
                 top_bytes((double)client->queue_bytes), top_number((double)client->inflight), top_number((double)client->subscriptions),
                 client->slowed ? "slowed" : client->connected ? "connected" : "away");
        attroff(A_STANDOUT);
        line++;
    }
}

static void draw(struct screen *screen)
{
    const struct top *top = screen->top;
    erase();
    if (top->now.stats) {
        put_header(screen);
        (screen->view == TOP_CLIENTS ? put_clients : put_events)(screen, put_drops(&top->now, put_shards(&top->now, 6)));
    }
    char filter[160];
    top_printable(top->filter, 60, filter, sizeof filter);
    if (screen->view != TOP_CLIENTS)
        mvprintw(LINES - 2, 0, "%s: %u  %s", top_view_names[screen->view], screen->events_count, screen->note);
    else
        mvprintw(LINES - 2, 0, "order: %s%s%s%s  %u clients  %s", top_sort_names[top->sort], top->ascending ? " (ascending)" : "", *filter ? "  filter: " : "", filter, top->now.list_count, screen->note);
    attron(A_REVERSE);
    mvprintw(LINES - 1, 0, "%-*.*s", COLS - 1, COLS - 1, *top->error ? top->error : help);
    attroff(A_REVERSE);
    refresh();
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

/* A line of text, typed at the foot; false: given up (Escape). */
static bool ask_text(const char *question, char *text, size_t bytes)
{
    char typed[128] = "";
    size_t used = 0;
    timeout(-1);
    for (;;) {
        move(LINES - 1, 0);
        clrtoeol();
        mvprintw(LINES - 1, 0, "%s%s", question, typed);
        refresh();
        int key = getch();
        if (key == 27 || key == ERR) return false;
        if (key == '\n' || key == '\r' || key == KEY_ENTER) break;
        if ((key == KEY_BACKSPACE || key == 127 || key == 8) && used)
            typed[--used] = 0;
        else if (key >= ' ' && key < 256 && key != 127 && used + 1 < sizeof typed)
            typed[used++] = (char)key, typed[used] = 0;
    }
    snprintf(text, bytes, "%s", typed);
    return true;
}

static void kick(struct screen *screen)
{
    struct top *top = screen->top;
    if (screen->chosen >= rows_count(screen) || !*row_client(screen, screen->chosen)) return;
    char id[160], target[1024];
    snprintf(target, sizeof target, "%s", row_client(screen, screen->chosen));
    if (strcmp(target, row_client(screen, screen->chosen)) != 0) { /* longer: rather none than another */
        snprintf(screen->note, sizeof screen->note, "this id is too long to kick from here: ringmq ctl clients kick");
        return;
    }
    top_printable(target, 60, id, sizeof id);
    timeout(-1);
    int key;
    do { /* a window that changes its size answers nothing */
        move(LINES - 1, 0);
        clrtoeol();
        mvprintw(LINES - 1, 0, "kick %s? y/n ", id);
        refresh();
        key = getch();
    } while (key == KEY_RESIZE);
    if (key != 'y') {
        snprintf(screen->note, sizeof screen->note, "not kicked");
        return;
    }
    bool kicked = top_kick(top, target);
    snprintf(screen->note, sizeof screen->note, "%s%.200s", kicked ? "kicked " : "not kicked: ", kicked ? id : top->error);
    if (!kicked) top->error[0] = 0;
}

/* The order changes what the broker is asked for: look again. */
static void key_take(struct screen *screen, int key, bool *ret_again, bool *ret_quit)
{
    struct top *top = screen->top;
    uint32_t count = rows_count(screen);
    switch (key) {
    case 'q': *ret_quit = true; return;
    case ' ': screen->paused = !screen->paused; return;
    case 'v':
    case '\t':
        screen->view = (screen->view + 1) % TOP_VIEWS;
        screen->chosen = screen->first = screen->events_count = 0;
        top->events_wanted = screen->view == TOP_CLIENTS ? 0 : 1u << screen->view;
        *ret_again = true;
        return;
    case 's': top->sort = (top->sort + 1) % TOP_SORTS; *ret_again = true; return;
    case 'r': top->ascending = !top->ascending; *ret_again = true; return;
    case '/': *ret_again = ask_text("part of the client id: ", top->filter, sizeof top->filter); return;
    case 'k': kick(screen); *ret_again = true; return;
    case 'h':
    case '?': snprintf(screen->note, sizeof screen->note, "man ringmq-top"); return;
    case KEY_UP: screen->chosen -= screen->chosen > 0; break;
    case KEY_DOWN: screen->chosen += screen->chosen + 1 < count; break;
    case KEY_PPAGE: screen->chosen -= screen->chosen < 10 ? screen->chosen : 10; break;
    case KEY_NPAGE: screen->chosen = screen->chosen + 10 < count ? screen->chosen + 10 : count ? count - 1 : 0; break;
    default: return;
    }
    if (count && screen->view == TOP_CLIENTS) snprintf(screen->chosen_id, sizeof screen->chosen_id, "%s", top->now.list[screen->chosen].id);
}

int top_screen(struct top *top, uint32_t interval_ms)
{
    struct screen screen = {.top = top};
    if (!initscr()) {
        say_error("this terminal cannot be used; --once prints instead");
        return RINGMQ_EXIT_FAILED;
    }
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    uint64_t due_ms = 0;
    for (bool quit = false; !quit;) {
        uint64_t now_ms = clock_now_ms();
        if (now_ms >= due_ms) {
            if (!screen.paused) top_look(top);
            due_ms = clock_now_ms() + interval_ms;
        }
        draw(&screen);
        now_ms = clock_now_ms();
        timeout(due_ms > now_ms ? (int)(due_ms - now_ms) : 0);
        int key = getch();
        bool again = false;
        if (key != ERR) key_take(&screen, key, &again, &quit);
        if (again) due_ms = 0;
    }
    endwin();
    return RINGMQ_EXIT_OK;
}
