cpdef bint has_room(int calls)
cpdef bint is_free()
