package demo

type place struct{ city, region string }

var places = []place{
	{"Lisbon", "Europe"}, {"Berlin", "Europe"}, {"Paris", "Europe"}, {"Rome", "Europe"}, {"Madrid", "Europe"},
	{"Vienna", "Europe"}, {"Dublin", "Europe"}, {"Prague", "Europe"}, {"New York", "North America"},
	{"Chicago", "North America"}, {"Toronto", "North America"}, {"Mexico City", "North America"},
	{"Seattle", "North America"}, {"São Paulo", "South America"}, {"Buenos Aires", "South America"},
	{"Bogotá", "South America"}, {"Lima", "South America"}, {"Tokyo", "Asia"}, {"Seoul", "Asia"},
	{"Bangkok", "Asia"}, {"Mumbai", "Asia"}, {"Singapore", "Asia"}, {"Hanoi", "Asia"}, {"Istanbul", "Asia"},
	{"Nairobi", "Africa"}, {"Lagos", "Africa"}, {"Cairo", "Africa"}, {"Cape Town", "Africa"},
	{"Sydney", "Oceania"}, {"Auckland", "Oceania"},
}

type cuisine struct{ name, origin string }

var cuisines = []cuisine{
	{"Italian", "Europe"}, {"French", "Europe"}, {"Spanish", "Europe"}, {"Greek", "Europe"}, {"German", "Europe"},
	{"Portuguese", "Europe"}, {"Turkish", "Asia"}, {"Lebanese", "Asia"}, {"Persian", "Asia"}, {"Indian", "Asia"},
	{"Thai", "Asia"}, {"Vietnamese", "Asia"}, {"Chinese", "Asia"}, {"Japanese", "Asia"}, {"Korean", "Asia"},
	{"Mexican", "North America"}, {"Cajun", "North America"}, {"Caribbean", "North America"},
	{"Peruvian", "South America"}, {"Brazilian", "South America"}, {"Argentinian", "South America"},
	{"Ethiopian", "Africa"}, {"Moroccan", "Africa"}, {"Polynesian", "Oceania"},
}

var nameStarts = []string{
	"Golden", "Little", "Old Town", "Blue", "Corner", "Garden", "Harbour", "Silver", "Sunny", "Royal", "Happy", "Green",
	"Lucky", "Red", "Market", "River", "Moonlit", "Grand", "Hidden", "Copper",
}

var nameEnds = []string{
	"Kitchen", "Table", "Spoon", "Oven", "Bistro", "House", "Grill", "Bowl", "Lantern", "Pantry", "Fig", "Olive", "Pepper",
	"Noodle", "Dumpling", "Basil", "Saffron", "Terrace", "Cellar", "Anchor",
}

var dishes = []string{
	"Margherita", "Lasagne", "Ramen", "Pad thai", "Green curry", "Tacos", "Burrito", "Falafel", "Hummus", "Moussaka",
	"Paella", "Bibimbap", "Dumplings", "Pho", "Butter chicken", "Dal", "Tagine", "Injera", "Ceviche", "Feijoada",
	"Empanadas", "Gumbo", "Jerk chicken", "Schnitzel", "Bouillabaisse", "Gyoza", "Sushi", "Kebab", "Salad", "Cheesecake",
}

var givenNames = []string{
	"Ana", "Ben", "Chloe", "Dario", "Emi", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Kaya", "Leo", "Mina", "Noor", "Omar",
	"Priya", "Quinn", "Rosa", "Sofia", "Tariq", "Uma", "Viktor", "Wen", "Ximena", "Yusuf", "Zoe",
}

var familyNames = []string{
	"Almeida", "Becker", "Chen", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ivanova", "Jensen", "Kim", "Lopez",
	"Moreau", "Nakamura", "Okafor", "Patel", "Quispe", "Rossi", "Santos", "Tanaka", "Usman", "Vega", "Wang", "Yilmaz",
}
