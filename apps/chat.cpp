// chat: rooms over telnet. The first line of a client is its name. /join ROOM, /who and /quit are
// commands, and all else is said to its room. With --bus all processes on NATS are one chat.
#include "app.hpp"
#include "chat_room.hpp"

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999", nats;

    command_line cli{"Rooms for telnet, in one process or in many.", "chat"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_text("--bus", nats, "where others are met, such as nats://10.0.0.1:4222,10.0.0.2:4222");

    return cli.run(argc, argv, [&] {
        // [bus]
        ice::server srv;
        ice::bus bus(srv, brokers(nats), chat_bus);
        // [bus]
        chat all(bus);
        print_ready(srv.add(ice::tcp_server_action{ice::address(listen)}
                                .protocol(ice::telnet{})
                                .logic(chat_logic{all})));
        srv.run();
    });
}
