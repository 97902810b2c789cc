package tpch

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// Bounds of the dates in orders and their lines (clause 4.2.2.12).
var (
	firstDay = time.Date(1992, 1, 1, 0, 0, 0, 0, time.UTC)
	today    = time.Date(1995, 6, 17, 0, 0, 0, 0, time.UTC)
	lastDay  = time.Date(1998, 12, 31, 0, 0, 0, 0, time.UTC)
)

// maker writes rows in the text format of COPY.
type maker struct {
	*rand.Rand
	out       *bufio.Writer
	scale     float64
	suppliers int64
	parts     int64
	customers int64
	orders    int64
}

// Write writes all rows of a table at a scale, in the text format of COPY: one row a line, values separated by tabs.
func Write(w io.Writer, table string, scale float64) error {
	m := &maker{out: bufio.NewWriterSize(w, 1<<16), scale: scale}
	m.suppliers, m.parts, m.customers, m.orders = m.count(10_000), m.count(200_000), m.count(150_000), m.count(1_500_000)
	switch table {
	case "region":
		m.each("region", int64(len(regionNames)), func(i int64) { m.row(i-1, regionNames[i-1], m.text(31, 115)) })
	case "nation":
		m.each("nation", int64(len(nations)), func(i int64) { m.row(i-1, nations[i-1].name, nations[i-1].region, m.text(31, 114)) })
	case "supplier":
		m.each(table, m.suppliers, m.supplier)
	case "part":
		m.each(table, m.parts, m.part)
	case "partsupp":
		m.each(table, m.parts, m.partSuppliers)
	case "customer":
		m.each(table, m.customers, m.customer)
	case "orders":
		m.each("orders", m.orders, func(i int64) { m.order(i, true) })
	case "lineitem":
		m.each("orders", m.orders, func(i int64) { m.order(i, false) })
	default:
		return fmt.Errorf("TPC-H has no table %q", table)
	}
	return m.out.Flush()
}

// count is a number of rows at the scale at hand, at least one.
func (m *maker) count(atOne float64) int64 { return max(1, int64(atOne*m.scale)) }

// each makes rows 1 to n, each from a generator of its own: a row does not depend on those before it.
func (m *maker) each(seed string, n int64, row func(i int64)) {
	var mixed uint64
	for _, c := range seed {
		mixed = mixed*131 + uint64(c)
	}
	for i := int64(1); i <= n; i++ {
		m.Rand = rand.New(rand.NewPCG(mixed, uint64(i)))
		row(i)
	}
}

func (m *maker) row(values ...any) {
	for i, v := range values {
		if i > 0 {
			m.out.WriteByte('\t')
		}
		switch v := v.(type) {
		case string:
			m.out.WriteString(v)
		case money:
			fmt.Fprintf(m.out, "%s%d.%02d", v.sign(), v.abs()/100, v.abs()%100)
		case time.Time:
			m.out.WriteString(v.Format(time.DateOnly))
		default:
			fmt.Fprint(m.out, v)
		}
	}
	m.out.WriteByte('\n')
}

// money is an amount in cents.
type money int64

func (v money) abs() money { return max(v, -v) }

func (v money) sign() string {
	if v < 0 {
		return "-"
	}
	return ""
}

// between is a number from low to high, both included.
func (m *maker) between(low, high int64) int64 { return low + m.Int64N(high-low+1) }

func (m *maker) one(of []string) string { return of[m.IntN(len(of))] }

// text is a sentence of low to high characters.
func (m *maker) text(low, high int64) string {
	length := int(m.between(low, high))
	var text []byte
	for len(text) < length {
		text = fmt.Appendf(text, "%s %s %s %s. ", m.one(adjectives), m.one(nouns), m.one(verbs), m.one(adverbs))
	}
	return string(text[:length])
}

// address is a string of low to high characters of no meaning.
func (m *maker) address() string {
	const letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ, "
	text := make([]byte, m.between(10, 40))
	for i := range text {
		text[i] = letters[m.IntN(len(letters))]
	}
	return string(text)
}

// phone begins with the code of a nation.
func (m *maker) phone(nation int64) string {
	return fmt.Sprintf("%d-%d-%d-%d", nation+10, m.between(100, 999), m.between(100, 999), m.between(1000, 9999))
}

func (m *maker) supplier(i int64) {
	nation := m.Int64N(25)
	comment := m.text(25, 100)
	// Five of every 10,000 had complaints, five recommendations.
	switch m.IntN(2000) {
	case 0:
		comment = "Customer " + comment[:10] + " Complaints"
	case 1:
		comment = "Customer " + comment[:10] + " Recommends"
	}
	m.row(i, fmt.Sprintf("Supplier#%09d", i), m.address(), nation, m.phone(nation), money(m.between(-99999, 999999)), comment)
}

func (m *maker) part(i int64) {
	var name []string
	for len(name) < 5 {
		if c := m.one(colours); !slices.Contains(name, c) {
			name = append(name, c)
		}
	}
	maker := m.between(1, 5)
	m.row(i, fmt.Sprintf("%s %s %s %s %s", name[0], name[1], name[2], name[3], name[4]), fmt.Sprintf("Manufacturer#%d", maker),
		fmt.Sprintf("Brand#%d%d", maker, m.between(1, 5)), m.one(typeSizes)+" "+m.one(typeCoatings)+" "+m.one(typeMetals),
		m.between(1, 50), m.one(containerSize)+" "+m.one(containerKind), retailPrice(i), m.text(5, 22))
}

// retailPrice is the price of a part (clause 4.2.3).
func retailPrice(part int64) money { return money(90000 + part/10%20001 + 100*(part%1000)) }

// supplierOf is the nth supplier, of four, that offers a part (clause 4.2.3).
func (m *maker) supplierOf(part, n int64) int64 {
	return (part+n*(m.suppliers/4+(part-1)/m.suppliers))%m.suppliers + 1
}

func (m *maker) partSuppliers(part int64) {
	var known []int64 // at the smallest scales two of the four may be one
	for n := range int64(4) {
		supplier := m.supplierOf(part, n)
		if slices.Contains(known, supplier) {
			continue
		}
		known = append(known, supplier)
		m.row(part, supplier, m.between(1, 9999), money(m.between(100, 100000)), m.text(49, 198))
	}
}

func (m *maker) customer(i int64) {
	nation := m.Int64N(25)
	m.row(i, fmt.Sprintf("Customer#%09d", i), m.address(), nation, m.phone(nation), money(m.between(-99999, 999999)),
		m.one(segments), m.text(29, 116))
}

// order makes an order or its lines: both come from the same numbers.
func (m *maker) order(i int64, head bool) {
	key := (i-1)/8*32 + (i-1)%8 + 1 // eight keys of every 32 are used
	customer := m.between(1, m.customers)
	for customer%3 == 0 && m.customers > 1 { // a third of the customers never order
		customer = m.between(1, m.customers)
	}
	date := firstDay.AddDate(0, 0, m.IntN(int(lastDay.Sub(firstDay).Hours()/24)-151+1))
	lines := m.between(1, 7)
	open, total := int64(0), money(0)
	for n := int64(1); n <= lines; n++ {
		part, quantity := m.between(1, m.parts), m.between(1, 50)
		supplier := m.supplierOf(part, m.Int64N(4))
		price := money(quantity) * retailPrice(part)
		discount, tax := money(m.between(0, 10)), money(m.between(0, 8))
		shipped := date.AddDate(0, 0, int(m.between(1, 121)))
		committed := date.AddDate(0, 0, int(m.between(30, 90)))
		received := shipped.AddDate(0, 0, int(m.between(1, 30)))
		returned, status := "N", "F"
		if !received.After(today) {
			returned = m.one([]string{"R", "A"})
		}
		if shipped.After(today) {
			status = "O"
			open++
		}
		total += price * (100 + tax) * (100 - discount) / 10000
		instruction, mode, comment := m.one(instructions), m.one(shipModes), m.text(10, 43)
		if !head {
			m.row(key, part, supplier, n, quantity, price, discount, tax, returned, status, shipped, committed, received, instruction, mode, comment)
		}
	}
	if !head {
		return
	}
	status := "P"
	switch open {
	case 0:
		status = "F"
	case lines:
		status = "O"
	}
	m.row(key, customer, status, total, date, m.one(priorities), fmt.Sprintf("Clerk#%09d", m.between(1, m.count(1000))), 0, m.text(19, 78))
}
