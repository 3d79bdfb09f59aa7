// The accept policy, without sockets: what each error of accept(2) means.
#include <asio/error.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/listener_base.hpp>

namespace {

ice::accept_verdict judge(int error) {
    return ice::judge_accept(std::error_code(error, std::system_category()));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(listener_base)

BOOST_AUTO_TEST_CASE(what_runs_out_is_waited_for) {
    // Trying again at once spins at 100 % CPU until a descriptor comes free.
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC})
        BOOST_TEST((judge(error) == ice::accept_verdict::back_off), "errno " << error);
}

BOOST_AUTO_TEST_CASE(a_connection_that_died_does_not_keep_the_next_from_being_accepted) {
    for (const int error : {ECONNABORTED, EINTR, EPROTO, ENETDOWN, EHOSTUNREACH, EPERM, ETIMEDOUT})
        BOOST_TEST((judge(error) == ice::accept_verdict::next), "errno " << error);
}

BOOST_AUTO_TEST_CASE(an_empty_backlog_is_waited_on_and_a_closed_listener_given_up) {
    BOOST_TEST((judge(EAGAIN) == ice::accept_verdict::wait));
    for (const int error : {EBADF, EINVAL, ENOTSOCK})
        BOOST_TEST((judge(error) == ice::accept_verdict::give_up), "errno " << error);
}

BOOST_AUTO_TEST_SUITE_END()
