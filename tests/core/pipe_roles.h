/* Roles, beginnings and rules of pipe scenarios. */
#ifndef TESTS_PIPE_ROLES_H
#define TESTS_PIPE_ROLES_H

#include "pipe.h"
#include "stepkill.h"

#define PIPE_LENGTH 36 /* bytes of payload: a message that can be half */
#define PIPE_WEIGHT 48 /* of its record */

/* Of this point's world, and forked into everybody. The director has made both, and keeps them. */
extern pn_pipe_end pipe_ends[2];

/* --- pipe_roles.c: what is there, the others, what the victim does --- */
void build_pipe(world *world);
void build_used(world *world);
void build_dead(world *world);
void build_dead_with_both(world *world);
void build_dead_before_its_use(world *world);
void build_carrier(world *world);
void drop(uint32_t number);
void build_on_its_way(world *world);
void reader(world *world, actor *me);
void bare_reader(world *world, actor *me);
void writer(world *world, actor *me);
void poller(world *world, actor *me);
void listener(world *world, actor *me);
void others_come(world *world);
void ready_at_1(world *world);
void ready_at_0(world *world);
void ready_as_keeper(world *world);
void op_send(world *world);
void op_use_and_send(world *world);
void op_receive(world *world);
void op_wait_for_message(world *world);
void op_look_for_message(world *world);
void op_wait_for_room(world *world);
void op_close(world *world);
void op_pass_on(world *world);
void op_take_it_over(world *world);
void op_call_back(world *world);
void op_sweep(world *world);

/* --- pipe_books.c: the verdict --- */
uint32_t count_taken(const pn_ring *ring);
void survive_pipe(world *world);
void survive_message(world *world);
pn_lock *tail_lock(world *world);

#endif
