// SPDX-License-Identifier: GPL-2.0

// A TCP proxy written with io.Copy, with a client before it and a sink behind
// it, all on loopback, and how long a stream takes through it. Between two TCP
// connections io.Copy splices; with -rw the same program hides that they are
// such, and io.Copy reads and writes. The sink keeps what it gets and checks it
// when the time has been taken.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"time"
)

// Both ends are in the sockmap a moment after connect() returns.
const settle = 150 * time.Millisecond

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func dial(listener net.Listener) *net.TCPConn {
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func accept(listener net.Listener) *net.TCPConn {
	conn, err := listener.Accept()
	if err != nil {
		log.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func forward(to, from *net.TCPConn, readWrite bool) {
	var err error
	if readWrite {
		_, err = io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
	} else {
		_, err = io.Copy(to, from)
	}
	if err != nil {
		log.Fatal(err)
	}
	to.CloseWrite()
}

func main() {
	mib := flag.Int("mib", 32, "how much to send")
	readWrite := flag.Bool("rw", false, "read and write instead of splicing")
	flag.Parse()

	data := make([]byte, *mib<<20)
	rand.New(rand.NewSource(1)).Read(data)
	got := make([]byte, len(data)+1)
	for i := range got {
		got[i] = 0xff // has its pages before the time is taken
	}

	front, back := listen(), listen()
	client := dial(front)
	source := accept(front)
	target := dial(back)
	sink := accept(back)
	time.Sleep(settle)

	begin := time.Now()
	go func() {
		if _, err := client.Write(data); err != nil {
			log.Fatal(err)
		}
		client.CloseWrite()
	}()
	go forward(target, source, *readWrite)
	n, err := io.ReadFull(sink, got[:len(data)])
	took := time.Since(begin)

	if err != nil || !bytes.Equal(got[:n], data) {
		log.Fatalf("%d of %d bytes came (%v), or wrong ones", n, len(data), err)
	}
	if n, err := sink.Read(got[len(data):]); n != 0 || err != io.EOF {
		log.Fatalf("no end of file behind the last byte: %d, %v", n, err)
	}
	fmt.Printf("\"bytes\":%d,\"ns\":%d\n", len(data), took.Nanoseconds())
}
