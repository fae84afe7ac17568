// Download a URL many times over one HTTP/2 connection: go run downloads.go URL COUNT STREAMS
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func main() {
	count, _ := strconv.Atoi(os.Args[2])
	streams, _ := strconv.Atoi(os.Args[3])
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	client := &http.Client{Transport: transport}
	work := make(chan int, count)
	for i := 0; i < count; i++ {
		work <- i
	}
	close(work)
	var lock sync.Mutex
	var group sync.WaitGroup
	whole, bytes := 0, int64(0)
	for i := 0; i < streams; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for range work {
				answer, err := client.Get(os.Args[1])
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					continue
				}
				size, err := io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				lock.Lock()
				if err == nil && answer.ProtoMajor == 2 && answer.StatusCode == 200 {
					whole++
				} else {
					fmt.Fprintln(os.Stderr, answer.Proto, answer.Status, err)
				}
				bytes += size
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	fmt.Println(whole, bytes)
}
