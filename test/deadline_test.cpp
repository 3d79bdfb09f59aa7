// deadline: calls a function at an instant. These tests pass the time as a number.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <functional>
#include <ice/detail/deadline.hpp>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "sim/heap.hpp"

namespace {

// The instant `n`.
ice::time_point at(int n) { return ice::time_point(ice::duration(n)); }

struct fixture {
    int told = 0;  // how often the clock was told to look earlier, or no more
    ice::deadlines queue{[this] { ++told; }};
    std::vector<int> rung;  // the numbers of the bells
};

// A deadline that writes down its number, and then does something.
struct bell {
    bell(fixture& f, int n) : test(f), number(n), when(f.queue, fire, this) {}

    static void fire(void* self) {
        auto& b = *static_cast<bell*>(self);
        b.test.rung.push_back(b.number);
        const auto act = b.then;  // a copy: it may destroy the bell
        if (act) act();
    }

    fixture& test;
    int number;
    std::function<void()> then;
    ice::deadline when;
};

using numbers = std::vector<int>;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(deadline, fixture)

BOOST_AUTO_TEST_CASE(deadlines_fire_in_the_order_of_their_instants) {
    // A heap that sifts in the wrong direction fires later deadlines first.
    std::vector<std::unique_ptr<bell>> bells;
    for (const int n : {5, 3, 9, 1, 7, 2, 8, 4, 6}) {
        bells.push_back(std::make_unique<bell>(*this, n));
        bells.back()->when.set(at(n));
    }
    queue.expire(at(4));
    BOOST_TEST(rung == (numbers{1, 2, 3, 4}), boost::test_tools::per_element());
    BOOST_TEST((queue.next() == at(5)));
    queue.expire(at(100));
    BOOST_TEST(rung == (numbers{1, 2, 3, 4, 5, 6, 7, 8, 9}), boost::test_tools::per_element());
    BOOST_TEST((queue.next() == ice::never));
}

BOOST_AUTO_TEST_CASE(a_deadline_fires_at_its_instant_and_not_before) {
    // One tick early, and a timeout of zero would expire before it began. It fires once only.
    bell b(*this, 1);
    b.when.set(at(10));
    queue.expire(at(9));
    BOOST_TEST(rung.empty());
    queue.expire(at(10));
    queue.expire(at(11));
    BOOST_TEST(rung == numbers{1}, boost::test_tools::per_element());
    BOOST_TEST((b.when.at() == ice::never));
    BOOST_TEST(queue.size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_deadline_moved_later_fires_later) {
    // The usual case: each message moves a timeout later, without a change of the heap.
    bell b(*this, 1);
    b.when.set(at(10));
    b.when.set(at(20));
    b.when.set(at(30));
    BOOST_TEST((b.when.at() == at(30)));
    BOOST_TEST((queue.next() <= at(30)));
    queue.expire(at(29));
    BOOST_TEST(rung.empty());
    BOOST_TEST((queue.next() == at(30)), "looked at once, it is where it belongs");
    queue.expire(at(30));
    BOOST_TEST(rung == numbers{1}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_deadline_moved_later_fires_after_those_in_between) {
    // Its entry is still at the front when a late clock makes all of them due.
    bell moved(*this, 30);
    bell between(*this, 20);
    moved.when.set(at(10));
    moved.when.set(at(30));
    between.when.set(at(20));
    queue.expire(at(40));
    BOOST_TEST(rung == (numbers{20, 30}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_deadline_moved_earlier_fires_earlier) {
    // If its entry stayed in place, a short timeout after a long one would not fire in time.
    bell first(*this, 1);
    bell second(*this, 2);
    first.when.set(at(100));
    second.when.set(at(50));
    first.when.set(at(10));
    BOOST_TEST((queue.next() == at(10)));
    queue.expire(at(10));
    BOOST_TEST(rung == numbers{1}, boost::test_tools::per_element());
    second.when.set(at(90));
    second.when.set(at(60));  // earlier than before, later than where it stands
    queue.expire(at(59));
    BOOST_TEST(rung.size() == 1U);
    queue.expire(at(60));
    BOOST_TEST(rung == (numbers{1, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(moved_is_called_when_the_next_deadline_is_earlier_and_only_then) {
    // Without the call the timer sleeps past a deadline; with a call each time it would be set for
    // every message.
    bell a(*this, 1);
    bell b(*this, 2);
    a.when.set(at(50));
    BOOST_TEST(told == 1);
    b.when.set(at(60));
    BOOST_TEST(told == 1, "behind the first");
    b.when.set(at(50));
    BOOST_TEST(told == 1, "beside the first");
    b.when.set(at(40));
    BOOST_TEST(told == 2, "before the first");
    b.when.set(at(30));
    BOOST_TEST(told == 3, "the first itself, moved earlier");
    b.when.set(at(70));
    b.when.clear();
    b.when.set(ice::never);
    b.when.set(at(35));
    BOOST_TEST(told == 3, "the clock looks at 30 already");
    BOOST_TEST((queue.next() <= at(35)));
    queue.expire(at(100));
    BOOST_TEST(told == 4, "nobody waits any more");
    a.when.set(at(200));
    BOOST_TEST(told == 5, "the queue was empty");
}

BOOST_AUTO_TEST_CASE(moved_is_called_when_the_last_deadline_is_gone) {
    // Otherwise the timer would hold a loop that has no deadline left.
    auto a = std::make_unique<bell>(*this, 1);
    auto b = std::make_unique<bell>(*this, 2);
    a->when.set(at(50));
    b->when.set(at(60));
    a.reset();
    BOOST_TEST(told == 1, "another waits");
    b.reset();
    BOOST_TEST(told == 2);
    BOOST_TEST((queue.next() == ice::never));
}

BOOST_AUTO_TEST_CASE(a_cleared_deadline_does_not_fire) {
    // Otherwise a timeout that was removed would close a healthy connection.
    bell a(*this, 1);
    bell b(*this, 2);
    a.when.set(at(10));
    b.when.set(at(10));
    a.when.clear();
    BOOST_TEST((a.when.at() == ice::never));
    b.when.set(ice::never);
    queue.expire(at(100));
    BOOST_TEST(rung.empty());
    BOOST_TEST(queue.size() == 0U);
    a.when.set(at(200));
    queue.expire(at(200));
    BOOST_TEST(rung == numbers{1}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(cleared_deadlines_can_be_removed) {
    // In the queue they hold a loop that has no deadline left. Removing them needs no memory.
    static_assert(noexcept(queue.forget_cleared()));
    bell a(*this, 1), b(*this, 2);
    a.when.set(at(10));
    b.when.set(at(20));
    a.when.clear();
    queue.forget_cleared();
    BOOST_TEST((queue.next() == at(20)));
    BOOST_TEST(told == 1);
    b.when.clear();
    queue.forget_cleared();
    BOOST_TEST((queue.next() == ice::never));
    BOOST_TEST(told == 2);
    a.when.set(at(30));
    queue.expire(at(30));
    BOOST_TEST(rung == numbers{1}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_deadline_set_to_never_is_not_in_the_queue) {
    // Otherwise each idle connection would have an entry in the heap.
    bell b(*this, 1);
    b.when.set(ice::never);
    BOOST_TEST(queue.size() == 0U);
    BOOST_TEST(told == 0);
    queue.expire(ice::never);
    BOOST_TEST(rung.empty());
}

BOOST_AUTO_TEST_CASE(destroying_a_deadline_keeps_the_others_in_order) {
    // The hole is filled with the last of the heap, which may belong above or below it.
    // Here the left branch is early and the right one late, and the last stands in the left.
    constexpr int count = 40;
    const auto is_right = [](int place) {
        while (place > 2) place = (place - 1) / 2;
        return place == 2;
    };
    for (int gone = 0; gone < count; ++gone) {
        rung.clear();
        std::vector<std::unique_ptr<bell>> bells;
        for (int place = 0; place < count; ++place) {
            bells.push_back(std::make_unique<bell>(*this, is_right(place) ? place + 100 : place));
            bells.back()->when.set(at(bells.back()->number));
        }
        bells.erase(bells.begin() + gone);
        BOOST_TEST(queue.size() == count - 1U);
        queue.expire(at(200));
        BOOST_TEST(rung.size() == count - 1U);
        BOOST_TEST(std::is_sorted(rung.begin(), rung.end()), "without that at " << gone);
    }
    BOOST_TEST(queue.size() == 0U);
}

BOOST_AUTO_TEST_CASE(removing_cleared_deadlines_keeps_the_others_in_order) {
    // A removed entry may be the parent of one that stays.
    constexpr int count = 40;
    for (int step = 1; step < 8; ++step) {
        rung.clear();
        std::vector<std::unique_ptr<bell>> bells;
        for (int i = 0; i < count; ++i) {
            bells.push_back(std::make_unique<bell>(*this, i * 17 % count));
            bells.back()->when.set(at(bells.back()->number));
        }
        std::size_t left = count;
        for (int i = 0; i < count; i += step, --left)
            bells[static_cast<std::size_t>(i)]->when.clear();
        told = 0;
        queue.forget_cleared();
        BOOST_TEST(queue.size() == left);
        BOOST_TEST(told == (left == 0 ? 1 : 0));
        queue.expire(at(count));
        BOOST_TEST(rung.size() == left);
        BOOST_TEST(std::is_sorted(rung.begin(), rung.end()), "without each of " << step);
    }
}

BOOST_AUTO_TEST_CASE(removing_cleared_deadlines_allocates_nothing) {
    // Danger: the last connection of a drain ends the server in a destructor, which cannot fail.
    bell kept(*this, 1), cleared(*this, 2);
    kept.when.set(at(10));
    cleared.when.set(at(20));
    cleared.when.clear();
    const auto before = heap::made;
    queue.forget_cleared();
    BOOST_TEST(heap::made == before);
    BOOST_TEST(queue.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_callback_may_set_its_own_deadline_again) {
    // An interval: it must fire at its next instant, not at once and not never.
    bell b(*this, 1);
    b.when.set(at(10));
    b.then = [&] { b.when.set(rung.size() == 1 ? at(20) : ice::never); };
    queue.expire(at(10));
    BOOST_TEST(rung.size() == 1U);
    BOOST_TEST((queue.next() == at(20)));
    queue.expire(at(19));
    BOOST_TEST(rung.size() == 1U);
    queue.expire(at(20));
    BOOST_TEST(rung.size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_callback_may_destroy_its_own_deadline) {
    // The timeout of a channel may destroy the channel.
    auto b = std::make_unique<bell>(*this, 1);
    bell other(*this, 2);
    b->when.set(at(10));
    other.when.set(at(10));
    b->then = [&] { b.reset(); };
    queue.expire(at(10));
    std::sort(rung.begin(), rung.end());
    BOOST_TEST(rung == (numbers{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(queue.size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_callback_may_destroy_clear_and_set_others) {
    // All are due in the same expire(): those that were cleared or destroyed must not fire.
    bell first(*this, 1);
    auto destroyed = std::make_unique<bell>(*this, 2);
    bell cleared(*this, 3);
    bell postponed(*this, 4);
    bell hurried(*this, 5);
    std::unique_ptr<bell> made;
    first.when.set(at(10));
    destroyed->when.set(at(11));
    cleared.when.set(at(12));
    postponed.when.set(at(13));
    hurried.when.set(at(99));
    first.then = [&] {
        destroyed.reset();
        cleared.when.clear();
        postponed.when.set(at(98));
        hurried.when.set(at(15));
        made = std::make_unique<bell>(*this, 6);
        made->when.set(at(14));
    };
    queue.expire(at(20));
    BOOST_TEST(rung == (numbers{1, 6, 5}), boost::test_tools::per_element());
    queue.expire(at(98));
    BOOST_TEST(rung == (numbers{1, 6, 5, 4}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_callback_may_destroy_all_deadlines) {
    // At the end of a server one timeout destroys all connections.
    std::vector<std::unique_ptr<bell>> bells;
    for (int n = 0; n < 100; ++n) {
        bells.push_back(std::make_unique<bell>(*this, n));
        bells.back()->when.set(at(n));
    }
    bells[7]->then = [&] { bells.clear(); };
    queue.expire(at(1000));
    BOOST_TEST(rung.size() == 8U);
    BOOST_TEST(queue.size() == 0U);
}

BOOST_AUTO_TEST_CASE(random_operations_agree_with_a_simple_model) {
    // The model: a map from number to instant. Nothing is lost, early, double or out of order.
    std::mt19937 random(7);
    const auto below = [&](int n) { return static_cast<int>(random() % unsigned(n)); };
    std::map<int, std::unique_ptr<bell>> bells;
    std::map<int, int> model;  // those that are set
    int now = 0;
    int made = 0;
    const auto some = [&] { return std::next(bells.begin(), below(int(bells.size()))); };
    for (int i = 0; i < 10'000; ++i) {
        const int choice = below(100);
        if (bells.empty() || choice < 10) {
            bells.emplace(made, std::make_unique<bell>(*this, made));
            ++made;
        } else if (choice < 75) {
            const int when = now + below(100);
            const auto chosen = some();
            chosen->second->when.set(at(when));
            model[chosen->first] = when;
        } else if (choice < 82) {
            const auto chosen = some();
            chosen->second->when.clear();
            model.erase(chosen->first);
        } else if (choice < 88) {
            const auto chosen = some();
            model.erase(chosen->first);
            bells.erase(chosen);
        } else if (choice < 91) {
            queue.forget_cleared();
            BOOST_TEST_REQUIRE(queue.size() == model.size());
        } else {
            now += below(30);
            std::vector<std::pair<int, int>> expected;  // (instant, number)
            for (const auto& [number, when] : model)
                if (when <= now) expected.emplace_back(when, number);
            rung.clear();
            queue.expire(at(now));
            std::vector<std::pair<int, int>> seen;
            for (const int number : rung) seen.emplace_back(model.at(number), number);
            for (const int number : rung) model.erase(number);
            const auto earlier = [](auto a, auto b) { return a.first < b.first; };
            BOOST_TEST_REQUIRE(std::is_sorted(seen.begin(), seen.end(), earlier), "step " << i);
            std::sort(seen.begin(), seen.end());
            std::sort(expected.begin(), expected.end());
            BOOST_TEST_REQUIRE((seen == expected), "step " << i);
            BOOST_TEST_REQUIRE((queue.next() > at(now)));
        }
        for (const auto& [number, when] : model) {
            BOOST_TEST_REQUIRE((queue.next() <= at(when)), "step " << i);
            BOOST_TEST_REQUIRE((bells.at(number)->when.at() == at(when)));
        }
        BOOST_TEST_REQUIRE(queue.size() <= bells.size());
    }
    BOOST_TEST(made > 500);
}

BOOST_AUTO_TEST_SUITE_END()
