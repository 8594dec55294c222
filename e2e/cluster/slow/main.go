// Command slow passes TCP connections on to one address and holds back what the caller sends by a
// time that can be changed while it runs, as a slow disk or network would.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	listen := flag.String("listen", "", "address to listen on")
	to := flag.String("to", "", "address to connect to")
	file := flag.String("delay-file", "", "file that holds the delay in milliseconds; absent or empty means none")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	for {
		caller, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go pass(caller, *to, *file)
	}
}

func pass(caller net.Conn, to, file string) {
	defer caller.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		log.Print(err)
		return
	}
	defer server.Close()
	// Either side's end is the end of both: what runs through here is one long HTTP/2 connection.
	done := make(chan struct{}, 2)
	go func() {
		io.Copy(caller, server)
		done <- struct{}{}
	}()
	go func() {
		hold(server, caller, func() time.Duration { return delay(file) })
		done <- struct{}{}
	}()
	<-done
}

// chunk is what was read at once, and when it may be passed on.
type chunk struct {
	bytes []byte
	due   time.Time
}

// hold copies with a delay. Reading goes on meanwhile: later chunks wait beside the first one,
// not behind it.
func hold(to io.Writer, from io.Reader, delay func() time.Duration) {
	queue := make(chan chunk, 1024)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(queue)
		for {
			buffer := make([]byte, 32*1024)
			count, err := from.Read(buffer)
			if count > 0 {
				select {
				case queue <- chunk{buffer[:count], time.Now().Add(delay())}:
				case <-stop:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	for next := range queue {
		time.Sleep(time.Until(next.due))
		if _, err := to.Write(next.bytes); err != nil {
			return
		}
	}
}

// delay is read anew for each chunk, so that a change counts at once.
func delay(file string) time.Duration {
	bytes, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	milliseconds, err := strconv.Atoi(strings.TrimSpace(string(bytes)))
	if err != nil || milliseconds < 0 {
		return 0
	}
	return time.Duration(milliseconds) * time.Millisecond
}
