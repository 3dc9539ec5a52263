cpdef bint has_room(int calls)
