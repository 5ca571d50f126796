"""Seeds worth running again: those that find planted faults, and those that found faults of Kith's own."""

FOUND = [23, 42388, 42617, 42719, 43480, 106201, 130191, 6000153, 6000649]
"""Seeds of worlds that went wrong, and do no more; `docs/reliability.md` tells of each."""

# The first seed that finds each planted fault; `--mutants search` of the simulation finds them anew.
SEEDS = {
    "writes_at_any_revision": 0,
    "points_over_any_pointer": 9,
    "forgets_on_merge": 4,
    "acknowledges_what_failed": 3,
    "names_the_last_failure": 17,
    "first_of_ties_is_last": 0,
    "extends_nothing": 0,
    "checks_nothing": 680,
    "loses_what_was_parked": 0,
    "buries_without_memory": 11,
    "forgets_pointers_of_the_merged": 5,
    "creates_before_it_points": 0,
    "withdraws_what_is_listed": 69,
    "remembers_no_duplicates": 0,
    "never_expires": 1,
    "takes_any_order": 36,
    "keeps_the_secondary": 0,
    "owns_nothing_through_redirects": 9,
    "loses_who_waits": 124,
    "looks_but_once": 519,
    "shows_who_has_expired": 47,
    "shows_parts_of_lists": 0,
    "overlooks_what_is_parked": 54,
    "counts_what_is_dropped_twice": 0,
    "lists_an_archive_that_is_not_complete": 10,
    "cuts_over_before_it_has_caught_up": 6,
    "rebuilds_without_memory": 0,
    "leaves_pointers": 0,
    "leaves_a_checkpoint_too_early": 1,
    "acknowledges_before_it_archives": 0,
    "cuts_by_event_time": 0,
    "links_nobody": 0,
    "loads_over_what_is_there": 0,
}
