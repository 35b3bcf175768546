// go_test PORT VERSION PREFIX [hang]: paho.mqtt.golang (3.1.1) or paho.golang (5) against a broker; prints as paho_test.py does.
package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/packets"
	v5 "github.com/eclipse/paho.golang/paho"
	v3 "github.com/eclipse/paho.mqtt.golang"
)

var port, prefix string
var five bool

func topic(name string) string { return prefix + "/" + name }

func check(condition bool, format string, values ...interface{}) {
	if !condition {
		panic(fmt.Sprintf(format, values...))
	}
}

func must(err error) {
	if err != nil {
		panic(err.Error())
	}
}

type message struct {
	topic, payload string
	qos            byte
	retain         bool
	properties     *v5.PublishProperties
}

// A peer hides which of the two libraries serves it.
type peer struct {
	messages chan message
	present  bool
	old      v3.Client
	client   *v5.Client
	conn     net.Conn
}

type will struct{ topic, payload string }

func soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	_ = cancel
	return ctx
}

func wait(token v3.Token) {
	check(token.WaitTimeout(30*time.Second), "no acknowledgement")
	must(token.Error())
}

func open(name string, clean bool, expiry uint32, last *will) *peer {
	p := &peer{messages: make(chan message, 10000)}
	if !five {
		options := v3.NewClientOptions().AddBroker("tcp://127.0.0.1:" + port).SetClientID(prefix + "-" + name).SetCleanSession(clean).
			SetProtocolVersion(4).SetAutoReconnect(false).SetOrderMatters(true)
		options.SetDefaultPublishHandler(func(_ v3.Client, m v3.Message) {
			p.messages <- message{m.Topic(), string(m.Payload()), m.Qos(), m.Retained(), nil}
		})
		if last != nil {
			options.SetWill(last.topic, last.payload, 1, true)
		}
		p.old = v3.NewClient(options)
		token := p.old.Connect()
		wait(token)
		p.present = token.(*v3.ConnectToken).SessionPresent()
		return p
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	must(err)
	p.conn = conn
	p.client = v5.NewClient(v5.ClientConfig{Conn: conn, Router: v5.NewSingleHandlerRouter(func(m *v5.Publish) {
		p.messages <- message{m.Topic, string(m.Payload), m.QoS, m.Retain, m.Properties}
	})})
	connect := &v5.Connect{KeepAlive: 60, ClientID: prefix + "-" + name, CleanStart: clean,
		Properties: &v5.ConnectProperties{SessionExpiryInterval: &expiry, RequestProblemInfo: true}}
	if last != nil {
		connect.WillMessage = &v5.WillMessage{Topic: last.topic, Payload: []byte(last.payload), QoS: 1, Retain: true}
		connect.WillProperties = &v5.WillProperties{ContentType: "text/x-will", User: v5.UserProperties{{Key: "w", Value: "1"}}}
	}
	connack, err := p.client.Connect(soon(), connect)
	must(err)
	p.present = connack.SessionPresent
	return p
}

func (p *peer) close() {
	if five {
		must(p.client.Disconnect(&v5.Disconnect{}))
	} else {
		p.old.Disconnect(250)
	}
}

func (p *peer) subscribe(filter string, qos byte, id int) {
	if !five {
		token := p.old.Subscribe(filter, qos, nil)
		wait(token)
		for _, granted := range token.(*v3.SubscribeToken).Result() { // by filter, without $share and the group
			check(granted == qos, "granted %d", granted)
		}
		return
	}
	request := &v5.Subscribe{Subscriptions: []v5.SubscribeOptions{{Topic: filter, QoS: qos}}}
	if id != 0 {
		request.Properties = &v5.SubscribeProperties{SubscriptionIdentifier: &id}
	}
	suback, err := p.client.Subscribe(soon(), request)
	must(err)
	check(suback.Reasons[0] == qos, "granted %d", suback.Reasons[0])
}

func (p *peer) publish(name, payload string, qos byte, retain bool) {
	if !five {
		wait(p.old.Publish(name, qos, retain, payload))
		return
	}
	_, err := p.client.Publish(soon(), &v5.Publish{Topic: name, Payload: []byte(payload), QoS: qos, Retain: retain})
	must(err)
}

func (p *peer) next() message {
	select {
	case m := <-p.messages:
		return m
	case <-time.After(10 * time.Second):
		panic("a message did not come")
	}
}

func (p *peer) expect(name, payload string, qos byte, retain bool) {
	m := p.next()
	check(m.topic == name && m.payload == payload && m.qos == qos && m.retain == retain, "got %.200v, wanted %s %.100s", m, name, payload)
}

func (p *peer) nothing() {
	select {
	case m := <-p.messages:
		panic(fmt.Sprintf("%v should not come", m))
	case <-time.After(300 * time.Millisecond):
	}
}

func roundTrips() {
	a, b := open("a", true, 0, nil), open("b", true, 0, nil)
	a.subscribe(topic("to/a"), 2, 0)
	b.subscribe(topic("to/b"), 2, 0)
	for qos := byte(0); qos < 3; qos++ {
		a.publish(topic("to/b"), "from a", qos, false)
		b.expect(topic("to/b"), "from a", qos, false)
		b.publish(topic("to/a"), "from b", qos, false)
		a.expect(topic("to/a"), "from b", qos, false)
	}
	a.close()
	b.close()
}

func retained() {
	a := open("a", true, 0, nil)
	for qos := byte(0); qos < 3; qos++ {
		a.publish(topic("kept"), fmt.Sprint("kept ", qos), qos, true)
		a.publish(topic("sync"), "", 1, false)
		b := open("b", true, 0, nil)
		b.subscribe(topic("kept/#"), 2, 0)
		b.expect(topic("kept"), fmt.Sprint("kept ", qos), qos, true)
		b.close()
	}
	a.publish(topic("kept"), "", 1, true)
	c := open("c", true, 0, nil)
	c.subscribe(topic("kept/#"), 2, 0)
	c.nothing()
	c.close()
	a.close()
}

func sessionResume() {
	keep, a := open("keep", false, 100, nil), open("a", true, 0, nil)
	keep.subscribe(topic("queue"), 1, 0)
	keep.close()
	for i := 0; i < 50; i++ {
		a.publish(topic("queue"), strconv.Itoa(i), byte(1+i%2), false)
	}
	keep = open("keep", false, 100, nil)
	check(keep.present, "no session present")
	for i := 0; i < 50; i++ {
		keep.expect(topic("queue"), strconv.Itoa(i), 1, false)
	}
	keep.nothing()
	keep.close()
	keep = open("keep", true, 0, nil)
	check(!keep.present, "session present")
	a.publish(topic("queue"), "lost", 1, false)
	keep.nothing()
	keep.close()
	a.close()
}

func largePayload() {
	a := open("a", true, 0, nil)
	a.subscribe(topic("large"), 2, 0)
	payload := string(bytes.Repeat([]byte("0123456789abcdefghijklmnopqrst"), 10000))
	for qos := byte(0); qos < 3; qos++ {
		a.publish(topic("large"), payload, qos, false)
		a.expect(topic("large"), payload, qos, false)
	}
	a.close()
}

func manyInOrder() {
	a, b := open("a", true, 0, nil), open("b", true, 0, nil)
	for qos, count := range []int{2000, 2000, 500} {
		name := topic("many/" + strconv.Itoa(qos))
		b.subscribe(name, byte(qos), 0)
		for i := 0; i < count; i++ {
			if five || i%500 == 499 {
				a.publish(name, strconv.Itoa(i), byte(qos), false)
			} else {
				a.old.Publish(name, byte(qos), false, strconv.Itoa(i))
			}
		}
		for i := 0; i < count; i++ {
			b.expect(name, strconv.Itoa(i), byte(qos), false)
		}
	}
	a.close()
	b.close()
}

func shared() {
	members, a := []*peer{open("s1", true, 0, nil), open("s2", true, 0, nil)}, open("a", true, 0, nil)
	for _, member := range members {
		member.subscribe("$share/"+prefix+"/"+topic("work"), 1, 0)
	}
	for i := 0; i < 100; i++ {
		a.publish(topic("work"), strconv.Itoa(i), 1, false)
	}
	var got []int
	var each [2]int
	for len(got) < 100 {
		var m message
		select {
		case m = <-members[0].messages:
			each[0]++
		case m = <-members[1].messages:
			each[1]++
		case <-time.After(10 * time.Second):
			panic(fmt.Sprintf("%d of 100 came", len(got)))
		}
		number, err := strconv.Atoi(m.payload)
		must(err)
		got = append(got, number)
	}
	sort.Ints(got)
	for i, number := range got {
		check(i == number, "%d is missing or came twice", i)
	}
	check(each[0] > 0 && each[1] > 0, "one member got everything: %v", each)
	for _, p := range append(members, a) {
		p.close()
	}
}

func properties() {
	a, b := open("a", true, 0, nil), open("b", true, 0, nil)
	b.subscribe(topic("props/#"), 1, 268435455)
	format, expiry, alias := byte(1), uint32(100), uint16(7)
	for i := 0; i < 3; i++ {
		name := topic("props/x")
		if i > 0 {
			name = "" // the alias alone
		}
		answer, err := a.client.Publish(soon(), &v5.Publish{Topic: name, Payload: []byte("p"), QoS: 1, Properties: &v5.PublishProperties{
			ContentType: "text/plain", ResponseTopic: "answer/here", CorrelationData: []byte{0, 1, 2}, PayloadFormat: &format,
			MessageExpiry: &expiry, TopicAlias: &alias, User: v5.UserProperties{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}}}})
		must(err)
		check(answer.ReasonCode == 0, "PUBACK %#x", answer.ReasonCode)
		m := b.next()
		got := m.properties
		check(m.topic == topic("props/x") && got.ContentType == "text/plain" && got.ResponseTopic == "answer/here" &&
			bytes.Equal(got.CorrelationData, []byte{0, 1, 2}) && *got.PayloadFormat == 1 && *got.SubscriptionIdentifier == 268435455 &&
			*got.MessageExpiry > 97 && len(got.User) == 2 && got.User[0] == v5.UserProperty{Key: "k", Value: "1"} &&
			got.User[1] == v5.UserProperty{Key: "k", Value: "2"}, "got %+v on %s", got, m.topic)
	}
	answer, err := a.client.Publish(soon(), &v5.Publish{Topic: topic("nobody"), QoS: 1})
	must(err)
	check(answer.ReasonCode == 0x10, "PUBACK %#x for a message nobody wants", answer.ReasonCode)
	unsuback, err := a.client.Unsubscribe(soon(), &v5.Unsubscribe{Topics: []string{topic("never")}})
	must(err)
	check(unsuback.Reasons[0] == packets.UnsubackNoSubscriptionFound, "UNSUBACK %#x", unsuback.Reasons[0])
	a.close()
	b.close()
}

func sessionExpiry() {
	leave := func(p *peer) { // paho.golang waits for 15 s when it is closed at once
		p.publish(topic("exp"), "", 1, false)
		time.Sleep(20 * time.Millisecond)
		p.close()
	}
	a := open("exp", false, 1, nil)
	leave(a)
	a = open("exp", false, 1, nil)
	check(a.present, "no session present after no time")
	leave(a)
	time.Sleep(2 * time.Second)
	a = open("exp", false, 0, nil)
	check(!a.present, "session present after its expiry")
	leave(a)
}

func run(name string, test func()) {
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("FAILED %s: %v\n", name, why)
		}
	}()
	test()
	fmt.Println("ok", name)
}

func main() {
	port, five, prefix = os.Args[1], os.Args[2] == "5", os.Args[3]
	if len(os.Args) > 4 {
		open("hang", true, 0, &will{topic("will"), "killed"})
		fmt.Println("ready")
		time.Sleep(time.Minute)
	}
	run("round_trips", roundTrips)
	run("retained", retained)
	run("session_resume", sessionResume)
	run("large_payload", largePayload)
	run("many_in_order", manyInOrder)
	run("shared", shared)
	if five {
		run("properties", properties)
		run("session_expiry", sessionExpiry)
	}
}
