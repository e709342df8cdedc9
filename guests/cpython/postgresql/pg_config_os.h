// What PostgreSQL says about each system. Of this one there is nothing to say.
