// Package demo makes DineHub, the example that `trunkline demo` loads: a food
// ordering service with restaurants, their orders, users and cuisines. It
// also holds the walk through a few queries over it.
//
// Everything goes through a gateway as any client would: the package imports
// none of Trunkline's own packages. Read Dataset first, then Load and Walk.
package demo

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Rows at scale 1.
const (
	restaurantsPerScale = 10_000
	ordersPerScale      = 1_000_000
	usersPerScale       = 100_000
)

// Dataset is DineHub at one scale. The same scale has the same rows, always.
type Dataset struct {
	Scale       float64
	Restaurants int64
	Orders      int64
	Users       int64

	// firstOrder[r] is how many orders the restaurants before r+1 have. Order
	// ids are given out in that order, so they are unique over all restaurants.
	firstOrder []int64
}

// New prepares the data set of a scale: 1 is 10,000 restaurants and 1,000,000
// orders.
func New(scale float64) (*Dataset, error) {
	if math.IsNaN(scale) || scale <= 0 || scale > 1000 {
		return nil, fmt.Errorf("scale must be more than 0 and at most 1000, not %v", scale)
	}
	rows := func(perScale float64) int64 { return max(1, int64(math.Round(perScale*scale))) }
	d := &Dataset{
		Scale:       scale,
		Restaurants: rows(restaurantsPerScale),
		Orders:      rows(ordersPerScale),
		Users:       rows(usersPerScale),
	}
	d.spreadOrders()
	return d, nil
}

// spreadOrders makes some restaurants much busier than others: one in fifty
// has about twenty times the orders of the rest, as tenants differ in life.
func (d *Dataset) spreadOrders() {
	weights := make([]int64, d.Restaurants)
	var sum int64
	for i := range weights {
		r := randomFor(tableRestaurants, int64(i+1))
		weights[i] = r.between(50, 150)
		if r.below(50) == 0 {
			weights[i] *= 20
		}
		sum += weights[i]
	}
	d.firstOrder = make([]int64, d.Restaurants+1)
	var before int64
	for i, w := range weights {
		// Whole numbers throughout, so that no machine rounds differently.
		before += w
		d.firstOrder[i+1] = before/sum*d.Orders + before%sum*d.Orders/sum
	}
}

// Tables, as the generators' seeds name them.
const (
	tableRestaurants = iota + 1
	tableRestaurantNames
	tableUsers
	tableOrders
	tableItems
)

// appendRestaurants, and the functions like it, append the rows of the ids
// from first to last in COPY's text format and return how many rows that were.
func (d *Dataset) appendRestaurants(b []byte, id int64) ([]byte, int64) {
	r := randomFor(tableRestaurantNames, id)
	place := pick(&r, places)
	cuisine := r.between(1, int64(len(cuisines)))
	b = strconv.AppendInt(b, id, 10)
	b = append(b, '\t')
	b = append(b, pick(&r, nameStarts)...)
	b = append(b, ' ')
	b = append(b, pick(&r, nameEnds)...)
	b = append(b, '\t')
	b = strconv.AppendInt(b, cuisine, 10)
	b = append(b, '\t')
	b = append(b, place.city...)
	b = append(b, '\t')
	b = append(b, place.region...)
	b = append(b, '\t')
	b = appendCents(b, r.between(25, 50)*10, 1)
	b = append(b, '\t')
	b = time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(r.below(7000))).AppendFormat(b, time.DateOnly)
	b = append(b, "\tf\n"...)
	return b, 1
}

func (d *Dataset) appendUsers(b []byte, id int64) ([]byte, int64) {
	r := randomFor(tableUsers, id)
	given, family := pick(&r, givenNames), pick(&r, familyNames)
	b = strconv.AppendInt(b, id, 10)
	b = append(b, '\t')
	b = append(b, given...)
	b = append(b, ' ')
	b = append(b, family...)
	b = append(b, "\tuser"...)
	b = strconv.AppendInt(b, id, 10)
	b = append(b, "@dinehub.example\t"...)
	b = append(b, pick(&r, places).city...)
	b = append(b, '\t')
	b = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(r.below(1800))).AppendFormat(b, time.DateOnly)
	b = append(b, '\n')
	return b, 1
}

// order is what an order's row and its items' rows both depend on.
type order struct {
	restaurant, id int64
	random         random
	items          int
	total          int64 // cents
	line           [4]item
}

type item struct {
	dish            string
	quantity, price int64
}

func (d *Dataset) order(restaurant, id int64) order {
	o := order{restaurant: restaurant, id: id, random: randomFor(tableItems, id)}
	r := &o.random
	o.items = int(1 + r.below(10)*r.below(10)/27) // 1 to 4, 1.7 on average
	for i := range o.items {
		it := item{dish: pick(r, dishes), quantity: 1 + r.below(3)*r.below(2), price: r.between(30, 320) * 10}
		o.line[i] = it
		o.total += it.quantity * it.price
	}
	return o
}

var firstOrderAt = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

const secondsOfOrders = 365 * 24 * 3600

// statuses, most of which say delivered.
var statuses = []string{"delivered", "delivered", "delivered", "delivered", "delivered", "delivered", "delivered", "delivered", "cancelled", "on its way"}

func (d *Dataset) appendOrders(b []byte, restaurant int64) ([]byte, int64) {
	first, end := d.firstOrder[restaurant-1], d.firstOrder[restaurant]
	for id := first + 1; id <= end; id++ {
		o := d.order(restaurant, id)
		r := randomFor(tableOrders, id)
		b = strconv.AppendInt(b, restaurant, 10)
		b = append(b, '\t')
		b = strconv.AppendInt(b, id, 10)
		b = append(b, '\t')
		b = strconv.AppendInt(b, 1+r.below(d.Users), 10)
		b = append(b, '\t')
		b = append(b, pick(&r, statuses)...)
		b = append(b, '\t')
		b = firstOrderAt.Add(time.Duration(r.below(secondsOfOrders))*time.Second).AppendFormat(b, "2006-01-02 15:04:05+00")
		b = append(b, '\t')
		b = appendCents(b, o.total, 2)
		b = append(b, '\n')
	}
	return b, end - first
}

func (d *Dataset) appendItems(b []byte, restaurant int64) ([]byte, int64) {
	var rows int64
	for id := d.firstOrder[restaurant-1] + 1; id <= d.firstOrder[restaurant]; id++ {
		o := d.order(restaurant, id)
		for i, it := range o.line[:o.items] {
			b = strconv.AppendInt(b, restaurant, 10)
			b = append(b, '\t')
			b = strconv.AppendInt(b, id, 10)
			b = append(b, '\t')
			b = strconv.AppendInt(b, int64(i+1), 10)
			b = append(b, '\t')
			b = append(b, it.dish...)
			b = append(b, '\t')
			b = strconv.AppendInt(b, it.quantity, 10)
			b = append(b, '\t')
			b = appendCents(b, it.price, 2)
			b = append(b, '\n')
		}
		rows += int64(o.items)
	}
	return b, rows
}

// items is how many order items the data set has.
func (d *Dataset) items() int64 {
	var n int64
	for id := int64(1); id <= d.Orders; id++ {
		r := randomFor(tableItems, id)
		n += 1 + r.below(10)*r.below(10)/27
	}
	return n
}

// appendCents appends hundredths as a decimal number with one or two places.
func appendCents(b []byte, cents int64, decimals int) []byte {
	b = strconv.AppendInt(b, cents/100, 10)
	b = append(b, '.', byte('0'+cents/10%10))
	if decimals == 2 {
		b = append(b, byte('0'+cents%10))
	}
	return b
}
