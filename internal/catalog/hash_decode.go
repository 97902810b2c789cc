package catalog

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// HashText hashes a value given as text, as the input function of a built-in type would read it. Only forms that mean the same
// under every setting are read here; for all others, and for unknown types, ok is false: ask a node (HashExpression). That
// includes whatever the type would reject, so that the error is PostgreSQL's own.
//
// For types with a collation the collation must be deterministic: see Snapshot.HashText.
func HashText(typeOID uint32, text string) (hash int32, ok bool) {
	switch typeOID {
	case OIDInt4:
		v, ok := parseInt(text, 32)
		return hashUint32(uint32(v)), ok
	case OIDInt8:
		v, ok := parseInt(text, 64)
		return hashInt8(v), ok
	case OIDInt2:
		v, ok := parseInt(text, 16)
		return hashUint32(uint32(v)), ok
	case OIDOid:
		v, err := strconv.ParseUint(text, 10, 32)
		return hashUint32(uint32(v)), err == nil
	case OIDText, OIDVarchar:
		return hashString(text), true
	case OIDBpchar:
		return hashBpchar(text), true
	case OIDName:
		return hashString(text), len(text) < 64
	case OIDChar:
		if len(text) != 1 {
			return 0, false
		}
		return hashUint32(uint32(int8(text[0]))), true
	case OIDUUID:
		v, ok := parseUUID(text)
		return hashBytes(v[:]), ok
	case OIDBool:
		v, ok := parseBool(text)
		return hashBool(v), ok
	case OIDBytea:
		digits, ok := strings.CutPrefix(text, `\x`)
		v, err := hex.DecodeString(digits)
		return hashBytes(v), ok && err == nil
	case OIDDate:
		days, rest, ok := parseDate(text)
		return hashUint32(uint32(days)), ok && rest == ""
	case OIDTime:
		micros, rest, ok := parseTime(text)
		return hashInt8(micros), ok && rest == ""
	case OIDTimestamp:
		v, rest, ok := parseTimestamp(text)
		return hashInt8(v), ok && rest == ""
	case OIDTimestamptz:
		v, rest, ok := parseTimestamp(text)
		if !ok || len(text) < len("2000-01-01 00:00:00Z") {
			return 0, false
		}
		offset, ok := parseOffset(rest)
		return hashInt8(v - offset), ok
	case OIDNumeric:
		digits, weight, ok := parseNumeric(text)
		return hashNumericDigits(digits, weight), ok
	case OIDFloat8:
		v, ok := parseFloat(text, 64)
		return hashFloat8(v), ok
	case OIDFloat4:
		v, ok := parseFloat(text, 32)
		return hashFloat8(v), ok
	}
	return 0, false
}

// HashBinary hashes a value given in PostgreSQL's binary format. For types it does not know ok is false; for data that the type
// would not accept there is an error.
func HashBinary(typeOID uint32, data []byte) (hash int32, ok bool, err error) {
	if width := binaryWidth(typeOID); width > 0 && len(data) != width {
		return 0, false, fmt.Errorf("a value of type OID %d has %d bytes instead of %d", typeOID, len(data), width)
	}
	switch typeOID {
	case OIDInt4, OIDOid, OIDDate:
		return hashUint32(binary.BigEndian.Uint32(data)), true, nil
	case OIDInt8, OIDTimestamp, OIDTimestamptz, OIDTime:
		return hashInt8(int64(binary.BigEndian.Uint64(data))), true, nil
	case OIDInt2:
		return hashUint32(uint32(int16(binary.BigEndian.Uint16(data)))), true, nil
	case OIDText, OIDVarchar, OIDBytea:
		return hashBytes(data), true, nil
	case OIDBpchar:
		return hashBpchar(string(data)), true, nil
	case OIDName:
		return hashBytes(data), len(data) < 64, nil
	case OIDChar:
		return hashUint32(uint32(int8(data[0]))), true, nil
	case OIDUUID:
		return hashBytes(data), true, nil
	case OIDBool:
		return hashBool(data[0] != 0), true, nil
	case OIDFloat8:
		return hashFloat8(math.Float64frombits(binary.BigEndian.Uint64(data))), true, nil
	case OIDFloat4:
		return hashFloat8(float64(math.Float32frombits(binary.BigEndian.Uint32(data)))), true, nil
	case OIDNumeric:
		return hashNumericBinary(data)
	}
	return 0, false, nil
}

func binaryWidth(typeOID uint32) int {
	switch typeOID {
	case OIDBool, OIDChar:
		return 1
	case OIDInt2:
		return 2
	case OIDInt4, OIDOid, OIDDate, OIDFloat4:
		return 4
	case OIDInt8, OIDTimestamp, OIDTimestamptz, OIDTime, OIDFloat8:
		return 8
	case OIDUUID:
		return 16
	}
	return 0
}

func hashNumericBinary(data []byte) (hash int32, ok bool, err error) {
	if len(data) < 8 || len(data) != 8+2*int(binary.BigEndian.Uint16(data)) {
		return 0, false, fmt.Errorf("a value of type numeric is malformed")
	}
	weight := int(int16(binary.BigEndian.Uint16(data[2:])))
	switch sign := binary.BigEndian.Uint16(data[4:]); sign {
	case 0, 0x4000:
	case 0xC000, 0xD000, 0xF000: // NaN and the infinities
		return 0, true, nil
	default:
		return 0, false, fmt.Errorf("a value of type numeric is malformed")
	}
	digits := make([]int16, (len(data)-8)/2)
	for i := range digits {
		digits[i] = int16(binary.BigEndian.Uint16(data[8+2*i:]))
	}
	return hashNumericDigits(digits, weight), true, nil
}

func hashBool(v bool) int32 {
	if v {
		return hashUint32(1)
	}
	return hashUint32(0)
}

// parseInt reads decimal integers. (Newer servers read 0x1F and 1_000 as well.)
func parseInt(text string, bits int) (int64, bool) {
	text = strings.Trim(text, " ")
	if len(text) > 1 && (text[0] == '+' || text[0] == '-') && (text[1] < '0' || text[1] > '9') {
		return 0, false
	}
	v, err := strconv.ParseInt(text, 10, bits)
	return v, err == nil
}

func parseUUID(text string) (v [16]byte, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return v, false
	}
	var digits [32]byte
	n := copy(digits[:], text[:8])
	n += copy(digits[n:], text[9:13])
	n += copy(digits[n:], text[14:18])
	n += copy(digits[n:], text[19:23])
	copy(digits[n:], text[24:])
	_, err := hex.Decode(v[:], digits[:])
	return v, err == nil
}

func parseBool(text string) (v, ok bool) {
	switch strings.ToLower(text) {
	case "t", "true", "y", "yes", "on", "1":
		return true, true
	case "f", "false", "n", "no", "off", "0":
		return false, true
	}
	return false, false
}

// twoDigits reads exactly two digits up to a maximum.
func twoDigits(text string, maximum int) (int, bool) {
	if len(text) < 2 || text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9' {
		return 0, false
	}
	v := int(text[0]-'0')*10 + int(text[1]-'0')
	return v, v <= maximum
}

// parseDate reads YYYY-MM-DD as days since 2000-01-01, and gives what follows.
func parseDate(text string) (days int32, rest string, ok bool) {
	if len(text) < 10 || text[4] != '-' || text[7] != '-' {
		return 0, "", false
	}
	century, ok1 := twoDigits(text, 99)
	year, ok2 := twoDigits(text[2:], 99)
	month, ok3 := twoDigits(text[5:], 12)
	day, ok4 := twoDigits(text[8:], 31)
	year += century * 100
	if !ok1 || !ok2 || !ok3 || !ok4 || year == 0 || month == 0 || day == 0 {
		return 0, "", false
	}
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if date.Day() != day {
		return 0, "", false
	}
	const secondsPerDay = 86400
	return int32((date.Unix() - epochSeconds) / secondsPerDay), text[10:], true
}

// epochSeconds is PostgreSQL's epoch, 2000-01-01 00:00 UTC, as Unix time.
const epochSeconds = 946684800

// parseTime reads HH:MM:SS[.ffffff] as microseconds, and gives what follows.
func parseTime(text string) (micros int64, rest string, ok bool) {
	if len(text) < 8 || text[2] != ':' || text[5] != ':' {
		return 0, "", false
	}
	hour, ok1 := twoDigits(text, 23)
	minute, ok2 := twoDigits(text[3:], 59)
	second, ok3 := twoDigits(text[6:], 59)
	if !ok1 || !ok2 || !ok3 {
		return 0, "", false
	}
	micros = int64((hour*60+minute)*60+second) * 1e6
	rest = text[8:]
	if !strings.HasPrefix(rest, ".") {
		return micros, rest, true
	}
	unit := int64(1e5)
	for rest = rest[1:]; rest != "" && rest[0] >= '0' && rest[0] <= '9'; rest = rest[1:] {
		if unit == 0 {
			return 0, "", false // more digits than a microsecond has: PostgreSQL rounds
		}
		micros += int64(rest[0]-'0') * unit
		unit /= 10
	}
	return micros, rest, true
}

// parseTimestamp reads YYYY-MM-DD[ HH:MM:SS[.ffffff]] as microseconds since 2000-01-01, and gives what follows.
func parseTimestamp(text string) (micros int64, rest string, ok bool) {
	days, rest, ok := parseDate(text)
	if !ok {
		return 0, "", false
	}
	micros = int64(days) * 86400e6
	if len(rest) < 2 || rest[0] != ' ' && rest[0] != 'T' {
		return micros, rest, true
	}
	timeOfDay, rest, ok := parseTime(rest[1:])
	return micros + timeOfDay, rest, ok
}

// parseOffset reads a time zone given as Z, ±HH or ±HH:MM, as microseconds east of UTC.
func parseOffset(text string) (micros int64, ok bool) {
	if text == "Z" {
		return 0, true
	}
	if len(text) != 3 && (len(text) != 6 || text[3] != ':') || text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	hours, ok := twoDigits(text[1:], 14)
	minutes := 0
	if ok && len(text) == 6 {
		minutes, ok = twoDigits(text[4:], 59)
	}
	micros = int64(hours*60+minutes) * 60e6
	if text[0] == '-' {
		micros = -micros
	}
	return micros, ok
}

// parseNumeric reads a plain decimal number as PostgreSQL holds it: digits of base 10000 and the weight of the first.
func parseNumeric(text string) (digits []int16, weight int, ok bool) {
	text = strings.Trim(text, " ")
	if text != "" && (text[0] == '+' || text[0] == '-') {
		text = text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	if whole == "" && fraction == "" || len(whole) > 1000 || len(fraction) > 1000 {
		return nil, 0, false
	}
	for len(whole)%4 != 0 {
		whole = "0" + whole
	}
	for len(fraction)%4 != 0 {
		fraction += "0"
	}
	all := whole + fraction
	for i := 0; i < len(all); i += 4 {
		high, ok1 := twoDigits(all[i:], 99)
		low, ok2 := twoDigits(all[i+2:], 99)
		if !ok1 || !ok2 {
			return nil, 0, false
		}
		digits = append(digits, int16(high*100+low))
	}
	return digits, len(whole)/4 - 1, true
}

// parseFloat reads a decimal number to the nearest float of a width, as strtod and strtof do.
func parseFloat(text string, bits int) (float64, bool) {
	if text == "" || strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, bits)
	smallest := 0x1p-1022 // the smallest normal number: below it servers differ
	if bits == 32 {
		smallest = 0x1p-126
	}
	if err != nil || math.Abs(v) < smallest && strings.Trim(text, "0+-.") != "" {
		return 0, false
	}
	return v, true
}
