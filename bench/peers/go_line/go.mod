module ice.example/bench/go_line

go 1.21
