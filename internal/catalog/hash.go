package catalog

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
)

// PostgreSQL's hash functions of the types that Go can hash by itself (design D3). Each is proven equal to the server's by
// TestHashAgainstServer. All of them rest on Bob Jenkins' lookup3 (https://burtleburtle.net/bob/c/lookup3.c, public domain).

// OIDs of the built-in types that this package knows by number (pg_type.dat of PostgreSQL: fixed for ever).
const (
	OIDBool        uint32 = 16
	OIDBytea       uint32 = 17
	OIDChar        uint32 = 18 // "char"
	OIDName        uint32 = 19
	OIDInt8        uint32 = 20
	OIDInt2        uint32 = 21
	OIDInt4        uint32 = 23
	OIDText        uint32 = 25
	OIDOid         uint32 = 26
	OIDFloat4      uint32 = 700
	OIDFloat8      uint32 = 701
	OIDBpchar      uint32 = 1042
	OIDVarchar     uint32 = 1043
	OIDDate        uint32 = 1082
	OIDTime        uint32 = 1083
	OIDTimestamp   uint32 = 1114
	OIDTimestamptz uint32 = 1184
	OIDNumeric     uint32 = 1700
	OIDUUID        uint32 = 2950
)

// golden is lookup3's arbitrary start value, with the seed that PostgreSQL adds to it.
const golden = 0x9e3779b9 + 3923095

// hashBytes is hash_any: lookup3 over bytes, read as little-endian words.
func hashBytes(k []byte) int32 {
	start := uint32(golden + len(k))
	a, b, c := start, start, start
	for len(k) >= 12 {
		a += binary.LittleEndian.Uint32(k)
		b += binary.LittleEndian.Uint32(k[4:])
		c += binary.LittleEndian.Uint32(k[8:])
		a -= c
		a ^= bits.RotateLeft32(c, 4)
		c += b
		b -= a
		b ^= bits.RotateLeft32(a, 6)
		a += c
		c -= b
		c ^= bits.RotateLeft32(b, 8)
		b += a
		a -= c
		a ^= bits.RotateLeft32(c, 16)
		c += b
		b -= a
		b ^= bits.RotateLeft32(a, 19)
		a += c
		c -= b
		c ^= bits.RotateLeft32(b, 4)
		b += a
		k = k[12:]
	}
	// The rest fills a, b, c in order, but the lowest byte of c stays free: in lookup3 it holds the length.
	var tail [13]byte
	copy(tail[:8], k)
	if len(k) > 8 {
		copy(tail[9:], k[8:])
	}
	a += binary.LittleEndian.Uint32(tail[0:])
	b += binary.LittleEndian.Uint32(tail[4:])
	c += binary.LittleEndian.Uint32(tail[8:])
	return finalMix(a, b, c)
}

// hashUint32 is hash_uint32: the same as hashBytes over the four bytes.
func hashUint32(k uint32) int32 {
	const start = uint32(golden + 4)
	return finalMix(start+k, start, start)
}

func finalMix(a, b, c uint32) int32 {
	c ^= b
	c -= bits.RotateLeft32(b, 14)
	a ^= c
	a -= bits.RotateLeft32(c, 11)
	b ^= a
	b -= bits.RotateLeft32(a, 25)
	c ^= b
	c -= bits.RotateLeft32(b, 16)
	a ^= c
	a -= bits.RotateLeft32(c, 4)
	b ^= a
	b -= bits.RotateLeft32(a, 14)
	c ^= b
	c -= bits.RotateLeft32(b, 24)
	return int32(c)
}

// hashInt8 makes equal int2, int4 and int8 values hash alike.
func hashInt8(v int64) int32 {
	low, high := uint32(v), uint32(v>>32)
	if v >= 0 {
		low ^= high
	} else {
		low ^= ^high
	}
	return hashUint32(low)
}

// hashFloat8 hashes float4 too, widened. Both zeros are equal, and so are all NaNs.
func hashFloat8(v float64) int32 {
	if v == 0 {
		return 0
	}
	word := math.Float64bits(v)
	if v != v {
		word = 0x7ff8000000000000
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], word)
	return hashBytes(b[:])
}

func hashString(s string) int32 { return hashBytes([]byte(s)) }

// hashBpchar leaves out trailing blanks, which do not count in comparisons of type character.
func hashBpchar(s string) int32 { return hashString(strings.TrimRight(s, " ")) }

// hashNumericDigits hashes a numeric as PostgreSQL holds it: digits of base 10000 and the weight of the first. The sign, the
// display scale and zeros at either end do not count.
func hashNumericDigits(digits []int16, weight int) int32 {
	for len(digits) > 0 && digits[0] == 0 {
		digits = digits[1:]
		weight--
	}
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
	}
	if len(digits) == 0 {
		return -1
	}
	b := make([]byte, 0, 64)
	for _, d := range digits {
		b = binary.LittleEndian.AppendUint16(b, uint16(d))
	}
	return hashBytes(b) ^ int32(weight)
}
