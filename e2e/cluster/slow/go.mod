module chandler.dev/e2e/cluster/slow

go 1.24
