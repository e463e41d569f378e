/* Roles, beginnings and rules of scenarios of dictionaries. */
#ifndef TESTS_DICT_ROLES_H
#define TESTS_DICT_ROLES_H

#include "dict_table.h"
#include "pairs.h"
#include "stepkill.h"

#define ITEMS 6u  /* that are there: keys 1 to 6; the wide one has 9 */
#define BYTES 40u /* of a value that is no word */
#define LARGER 48u

/* What may differ afterwards: 0 stands for no item. */
typedef struct {
    uint32_t key, old, new;
} change;

/* Of this point's world, and forked into everybody. */
typedef struct {
    change changes[2];
    uint32_t change_count;
    bool clears; /* all items together */
} dict_plan;

extern pn_dict dict;
extern dict_plan plan;
extern uint64_t body; /* an object that only a value names, or the victim */

/* --- dict_roles.c: what is there, and the others --- */
uint32_t value_of(uint32_t key);
void must(pn_status status);
uint64_t new_object(world *world);
/* Keys 1 to 6: a word, bytes, an object that nobody else has; and again. */
void build_dict(world *world);
/* The next value that is appended finds no room. */
void build_full_dict(world *world);
/* One item more, and a table that is much too large. */
void build_wide_dict(world *world);
/* Somebody has died and left things in every state. */
void build_dead_dict(world *world);
void expect(uint32_t key, uint32_t old, uint32_t new);
void use_dict(world *world, actor *me);

/* --- dict_books.c: the verdict --- */
void survive_dict(world *world);

#endif
