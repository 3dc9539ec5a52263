cdef object current_task(object loop)
cdef bint is_to_end(object home, object task) except -1
cdef object swap(object loop, object task)
